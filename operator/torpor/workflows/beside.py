"""Work on definitions beside the event loop: a long one takes seconds to check and to compile.

Requests queue for one thread, so that whoever sends many of them takes one thread's share of the
processor and no more. An engine compiles what it runs in another one and waits for no request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")

SHORT_CHARACTERS: Final = 4_096
"""Up to this length a definition is read in less time than a thread is worth."""

_requests: Final = ThreadPoolExecutor(1, thread_name_prefix="definitions")
_programs: Final = ThreadPoolExecutor(1, thread_name_prefix="programs")


async def check_beside(definition: str, work: Callable[[], T]) -> T:
    """Return what `work` makes of a definition that a request brought; its errors are raised."""
    if len(definition) <= SHORT_CHARACTERS:
        return work()
    return await work_beside(work)


async def work_beside(work: Callable[[], T]) -> T:
    """Return what `work` makes for a request, however short; its errors are raised."""
    return await asyncio.get_running_loop().run_in_executor(_requests, work)


async def compile_beside(definition: str, work: Callable[[], T]) -> T:
    """Return what `work` makes of a definition that is to run; its errors are raised."""
    if len(definition) <= SHORT_CHARACTERS:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_programs, work)
