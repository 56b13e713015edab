"""Runs the handler: async ones on the event loop, others in a small pool of threads."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

from torpor_runtime.answer import Stream
from torpor_runtime.event import Context, Event
from torpor_runtime.load import Handler

_END = object()


class Caller:
    """Calls one handler, each time within the request's own context variables."""

    def __init__(self, handler: Handler, threads: int) -> None:
        self._handler = handler
        self._on_loop = _runs_on_loop(handler)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="handler")

    async def call(self, event: Event, context: Context) -> Any:
        """Return what the handler returns; raise what it raises."""
        if self._on_loop:
            result = self._handler(event, context)
        else:
            result = await self._in_thread(partial(self._handler, event, context))
        return await result if inspect.isawaitable(result) else result

    async def pieces(self, stream: Stream) -> AsyncGenerator[Any, None]:
        """Yield what the stream yields, and close it whatever happens."""
        try:
            if isinstance(stream, AsyncIterator):
                async for item in stream:
                    yield item
                return
            while (item := await self._in_thread(partial(next, stream, _END))) is not _END:
                yield item
        finally:
            await self._close(stream)

    def end(self) -> None:
        """Let the threads go without waiting for a handler that never returns."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, copy_context().run, work)

    async def _close(self, stream: Stream) -> None:
        if isinstance(stream, Iterator) and hasattr(stream, "close"):
            await self._in_thread(stream.close)
        elif hasattr(stream, "aclose"):
            await stream.aclose()


def _runs_on_loop(handler: Handler) -> bool:
    target = handler if inspect.isroutine(handler) else getattr(handler, "__call__", handler)  # noqa: B004
    return inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target)
