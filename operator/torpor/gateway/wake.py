"""Asks the platform for the first instance of a function that sleeps: one flight at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from torpor.errors import ApiConflict, ApiError, ApiNotFound, ApiUnavailable
from torpor.platform.base import Platform
from torpor.resources.names import MANAGER_GATEWAY, FunctionKey

RECHECK_SECONDS = 1.0
"""How often the scale is read again while requests wait: somebody may have set it to zero."""
CALL_SECONDS = 5.0
"""How long one exchange with the platform may take."""
_CONFLICT_SECONDS = 0.01
_FIRST_BACKOFF_SECONDS = 0.1
_LAST_BACKOFF_SECONDS = 2.0
_MISSING_SECONDS = 0.2


class Waker:
    """The wake of one function; `problem` is why the last exchange failed, None if it did not."""

    __slots__ = ("_failures", "_key", "_nudged", "_platform", "_random", "answered_at", "problem")

    def __init__(self, key: FunctionKey, platform: Platform, random: Random) -> None:
        self._key = key
        self._platform = platform
        self._random = random
        self._nudged = asyncio.Event()
        self._failures = 0
        self.answered_at: float | None = None
        self.problem: ApiError | None = None

    def begin(self) -> None:
        """Forget the last wake; a `run` that pauses looks now instead."""
        self.answered_at, self.problem, self._failures = None, None, 0
        self._nudged.set()

    async def run(self, wanted: Callable[[], bool]) -> None:
        """See that at least one instance is asked for, as long as `wanted()`."""
        while wanted():
            self._nudged.clear()
            pause_seconds = await self._attempt()
            try:
                async with asyncio.timeout(pause_seconds):
                    await self._nudged.wait()
            except TimeoutError:
                continue

    async def _attempt(self) -> float:
        """Look once; return the seconds to pause."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._raise_from_zero()
        except ApiConflict:
            return _CONFLICT_SECONDS
        except ApiNotFound as missing:
            self.problem = missing
            return _MISSING_SECONDS
        except ApiError as error:
            return self._failed(error)
        except TimeoutError:
            return self._failed(ApiUnavailable(0, "Timeout", f"no answer in {CALL_SECONDS:.0f} s"))
        self._failures, self.problem = 0, None
        if self.answered_at is None:
            self.answered_at = asyncio.get_running_loop().time()
        return RECHECK_SECONDS

    async def _raise_from_zero(self) -> None:
        scale = await self._platform.scale(self._key)
        if scale.replicas == 0:
            await self._platform.set_scale(
                self._key, 1, manager=MANAGER_GATEWAY, version=scale.version
            )

    def _failed(self, error: ApiError) -> float:
        self.problem = error
        self._failures = min(self._failures + 1, 16)
        backoff: float = _FIRST_BACKOFF_SECONDS * 2 ** (self._failures - 1)
        longest = min(_LAST_BACKOFF_SECONDS, backoff)
        return longest * self._random.uniform(0.5, 1.0)
