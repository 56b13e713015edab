"""Follows what the platform tells, through every failure of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from torpor.errors import ApiError
from torpor.platform.base import (
    FunctionChanged,
    FunctionRefused,
    Instance,
    InstancesChanged,
    Platform,
    Synced,
)
from torpor.resources.function import Function
from torpor.resources.names import FunctionKey

log = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 0.2
_LAST_RETRY_SECONDS = 10.0


class Watched(Protocol):
    """Who is told."""

    def terms(self, key: FunctionKey) -> object | None:
        """Return what is known of a function; None if nothing is."""
        ...

    def function_changed(self, key: FunctionKey, function: Function | None) -> None:
        """Take in a function as it is now; None when it is no more."""
        ...

    def instances_changed(self, key: FunctionKey, instances: tuple[Instance, ...]) -> None:
        """Take in all instances of one function as they are now."""
        ...

    def replaced(self, functions: set[FunctionKey], instances: set[FunctionKey]) -> None:
        """Take in that these are all there are: what else is known has vanished."""
        ...


class Watcher:
    """Tells `watched` all changes. `problem` is why it may be behind; None when it is not."""

    def __init__(self, platform: Platform, watched: Watched) -> None:
        self._platform = platform
        self._watched = watched
        self._failures = 0
        self.synced = False
        self.problem: str | None = "the functions are not known yet"

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
                self.problem = "the watch ended"
            except ApiError as error:
                self.problem = f"the watch failed: {error}"
            log.warning("watching again", extra={"fields": {"problem": self.problem}})
            self._failures = min(self._failures + 1, 16)
            backoff = _FIRST_RETRY_SECONDS * 2 ** (self._failures - 1)
            await asyncio.sleep(min(_LAST_RETRY_SECONDS, backoff))

    async def _follow(self) -> None:
        functions: set[FunctionKey] = set()
        instances: set[FunctionKey] = set()
        async for change in self._platform.changes():
            match change:
                case FunctionChanged(key, function):
                    functions.add(key)
                    self._watched.function_changed(key, function)
                case FunctionRefused(key, instead):
                    functions.add(key)
                    if self._watched.terms(key) is None:
                        self._watched.function_changed(key, instead)
                case InstancesChanged(key, found):
                    instances.add(key)
                    self._watched.instances_changed(key, found)
                case Synced():
                    self.synced, self.problem, self._failures = True, None, 0
                    self._watched.replaced(functions, instances)
                    functions, instances = set(), set()
