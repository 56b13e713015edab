"""Runs the handler: in the connection's own thread, and what is async on an event loop."""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from torpor_runtime.answer import Stream
    from torpor_runtime.event import Context, Event
    from torpor_runtime.executions import Turn
    from torpor_runtime.load import Handler
    from torpor_runtime.loop import Loop

_CO_COROUTINE = 0x80
_CO_ASYNC_GENERATOR = 0x200


class Caller:
    """Calls one handler. The event loop begins when something async is first met."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._loop: Loop | None = None
        self._lock = threading.Lock()
        flags = getattr(getattr(handler, "__code__", None), "co_flags", 0)
        if flags & (_CO_COROUTINE | _CO_ASYNC_GENERATOR):
            self._running_loop()  # now, while the first request is on its way

    def call(self, event: Event, context: Context, turn: Turn) -> Any:
        """Return what the handler returns; raise what it raises."""
        result = self._handler(event, context)
        return self._running_loop().run(result, turn) if hasattr(result, "__await__") else result

    def pieces(self, stream: Stream, turn: Turn) -> Iterator[Any]:
        """Return an iterator over what the stream yields; closing it closes the stream."""
        if hasattr(stream, "__next__"):
            return stream  # type: ignore[return-value]
        return self._running_loop().iterate(stream, turn)

    def _running_loop(self) -> Loop:
        with self._lock:
            if self._loop is None:
                from torpor_runtime.loop import Loop

                self._loop = Loop()
            return self._loop
