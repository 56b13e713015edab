"""Does one action of a verb: the coroutine of that name, from a module imported only then."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module

Action = Callable[[argparse.Namespace], Awaitable[int]]


def act(module: str, name: str, args: argparse.Namespace) -> int:
    """Run `name` of `torpor.cli.<module>` to its end, and return what it returns."""
    action: Action = getattr(import_module(f"torpor.cli.{module}"), name)
    return asyncio.run(_awaited(action(args)))


async def _awaited(work: Awaitable[int]) -> int:
    return await work
