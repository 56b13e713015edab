"""The parts of a streamed answer, each fetched within the time-out."""

from __future__ import annotations

from torpor_runtime.answer import chunk_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from torpor_runtime.executions import Executions, Turn

_END = object()


class Broken(Exception):
    """The stream does not come to its end; why was logged."""


class Parts:
    """What a handler's stream yields. The first part is fetched before the answer's head is sent.

    Whoever iterates has paused the turn: its time runs only while the next part is awaited.
    """

    def __init__(
        self,
        pieces: Iterator[Any],
        turn: Turn,
        executions: Executions,
        log: Callable[[str, BaseException], None],
    ) -> None:
        self._pieces = pieces
        self._turn = turn
        self._executions = executions
        self._log = log
        self._next: bytes | None = None

    def begin(self) -> None:
        """Fetch the first part, within the time that runs; raises what the handler raises."""
        self._next = self._fetched()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the parts that are not empty; Broken if the stream fails or is overtaken."""
        while self._next is not None:
            if self._next:
                yield self._next
            self._executions.resume(self._turn)
            try:
                self._next = self._fetched()
            except BaseException as error:
                self._log(
                    "the stream failed; the connection is cut so that the client notices", error
                )
                raise Broken from None
            if not self._executions.pause(self._turn):
                raise Broken

    def close(self) -> None:
        """Close the stream, read or not, within a time-out of its own."""
        if not self._turn.is_late:
            self._executions.resume(self._turn)
        self.drop()
        self._executions.pause(self._turn)

    def drop(self) -> None:
        """Close the stream within the time that runs."""
        if not hasattr(self._pieces, "close"):
            return
        try:
            self._pieces.close()
        except BaseException as error:
            self._log("the stream cannot be closed", error)

    def _fetched(self) -> bytes | None:
        item = next(self._pieces, _END)
        return None if item is _END else chunk_of(item)
