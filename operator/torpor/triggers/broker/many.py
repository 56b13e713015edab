"""Many requests side by side, but not all at once: what is far away is waited for less."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

_AT_ONCE = 16


async def ask_each(keys: Iterable[K], ask: Callable[[K], Awaitable[V]]) -> dict[K, V]:
    """Return what is answered for each key; when all have ended, the first failure is raised."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(key: K) -> tuple[K, V]:
        async with places:
            return key, await ask(key)

    found = await asyncio.gather(*(one(key) for key in set(keys)), return_exceptions=True)
    answers: dict[K, V] = {}
    for each in found:
        if isinstance(each, BaseException):
            raise each
        answers[each[0]] = each[1]
    return answers
