"""The event loop of async handlers, in a thread of its own.

A handler that blocks the loop delays other async executions, never the answering of time-outs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from queue import SimpleQueue
from typing import Any

from torpor_runtime.executions import Turn
from torpor_runtime.logs import write_failure


class Loop:
    """Runs awaitables and asynchronous iterators for threads that wait for them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name="event loop", daemon=True).start()

    def run(self, awaitable: Awaitable[Any], turn: Turn) -> Any:
        """Return what it gives, raise what it raises; `turn` can cancel it."""
        results: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._start(_run(awaitable, results), turn)
        result, error = results.get()
        if error is not None:
            raise error
        return result

    def iterate(self, stream: AsyncIterator[Any], turn: Turn) -> Iterator[Any]:
        """Yield what it yields; one task runs all of it, and closes it."""
        handover = _Handover(self._loop)
        self._start(handover.run(stream), turn)
        yield from handover.items()

    def _start(self, work: Any, turn: Turn) -> None:
        # Within this thread's context: the request's ids are in it.
        self._loop.call_soon_threadsafe(self._start_task, work, turn)

    def _start_task(self, work: Any, turn: Turn) -> None:
        task = self._loop.create_task(work, name="handler")
        # Comes after the task's first step: one that is cancelled earlier could not tell its end.
        turn.cancel_by(lambda: self._loop.call_soon_threadsafe(task.cancel))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        while True:
            try:
                self._loop.run_forever()
            except BaseException as error:  # a task of the user's that exits takes only itself away
                write_failure("a task ended the event loop, which goes on", error)


async def _run(awaitable: Awaitable[Any], results: SimpleQueue[Any]) -> None:
    try:
        results.put((await awaitable, None))
    except BaseException as error:  # raised again in the thread that waits
        results.put((None, error))


class _Handover:
    """Hands the items of an asynchronous stream to a thread, each when the last one was taken."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: SimpleQueue[tuple[Any, bool, BaseException | None]] = SimpleQueue()
        self._taken: asyncio.Future[bool] | None = None

    async def run(self, stream: Any) -> None:
        error: BaseException | None = None
        try:
            await self._offer_all(stream)
        except BaseException as found:  # raised again in the thread that waits
            error = found
        self._items.put((None, True, error))

    async def _offer_all(self, stream: Any) -> None:
        try:
            async for item in stream:
                self._taken = self._loop.create_future()
                self._items.put((item, False, None))
                if not await self._taken:
                    return
        finally:
            if hasattr(stream, "aclose"):
                await stream.aclose()

    def items(self) -> Iterator[Any]:
        ended = False
        try:
            while True:
                item, ended, error = self._items.get()
                if error is not None:
                    raise error
                if ended:
                    return
                yield item
                self._answer(True)
        finally:
            if not ended:
                self._answer(False)
                self._items.get()

    def _answer(self, more: bool) -> None:
        self._loop.call_soon_threadsafe(_settle, self._taken, more)


def _settle(taken: asyncio.Future[bool] | None, more: bool) -> None:
    if taken and not taken.done():
        taken.set_result(more)
