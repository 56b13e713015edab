"""Asks the platform for the instances that a sleeping function needs: one flight at a time.

The first call goes out at once and asks for what the requests held by then need. A crowd arrives
over some milliseconds, so for `CROWD_SECONDS` after zero was seen the wake is raised while more
come. After that only the autoscaler raises: requests that pile up before a slow start say nothing
of how many instances they need. A wake never lowers.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from random import Random

from torpor.errors import ApiConflict, ApiError, ApiNotFound, ApiUnavailable
from torpor.platform.base import Platform
from torpor.resources.names import MANAGER_GATEWAY, FunctionKey

CROWD_SECONDS = 0.5
"""How long after the first request's wake those that come count as one crowd with it."""
RAISE_SECONDS = 0.05
"""Between two looks at whether the crowd has outgrown what was asked for."""
_FIRST_RECHECK_SECONDS = 1.0
_LAST_RECHECK_SECONDS = 5.0
"""How often the scale is read again while requests wait: somebody may have set it to zero. It
doubles, because many that wait long do so together, for an API server that has too much to do."""
CALL_SECONDS = 5.0
"""How long one exchange with the platform may take."""
_CONFLICT_SECONDS = 0.01
_FIRST_BACKOFF_SECONDS = 0.1
_LAST_BACKOFF_SECONDS = 2.0
_MISSING_SECONDS = 0.2


class Waker:
    """The wake of one function; `problem` is why the last exchange failed, None if it did not.

    `needed` returns how many instances those who wait need now, 0 when nobody waits for one.
    """

    def __init__(
        self, key: FunctionKey, platform: Platform, random: Random, needed: Callable[[], int]
    ) -> None:
        self._key = key
        self._platform = platform
        self._random = random
        self._needed = needed
        self._clock = asyncio.get_running_loop().time
        self._nudged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._waking = False
        self._failures = 0
        self._looks = 0
        self._asked = 0
        self._crowd_until = -math.inf
        self.answered_at: float | None = None
        self.problem: ApiError | None = None

    def keep(self, tasks: asyncio.TaskGroup) -> None:
        """Wake if instances are needed; a need that began anew is looked at now."""
        waking = self._needed() > 0
        if waking and not self._waking:
            self._begin()
        self._waking = waking
        if waking and (self._task is None or self._task.done()):
            self._task = tasks.create_task(self._run(), name=f"wake {self._key}")

    def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self.answered_at, self.problem, self._failures, self._looks = None, None, 0, 0
        self._nudged.set()

    async def _run(self) -> None:
        while self._needed():
            self._nudged.clear()
            await self._pause(await self._attempt())

    async def _pause(self, seconds: float) -> None:
        """Wait until a wake begins anew, the crowd has grown, or the time is up."""
        until = self._clock() + seconds
        while (now := self._clock()) < until:
            is_crowd = now < self._crowd_until
            try:
                async with asyncio.timeout_at(
                    min(until, now + RAISE_SECONDS) if is_crowd else until
                ):
                    await self._nudged.wait()
                return
            except TimeoutError:
                if is_crowd and self.problem is None and self._needed() > self._asked:
                    return

    async def _attempt(self) -> float:
        """Look once; return the seconds to pause."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._raise()
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
            self.answered_at = self._clock()
        self._looks = min(self._looks + 1, 16)
        recheck: float = _FIRST_RECHECK_SECONDS * 2 ** (self._looks - 1)
        return min(_LAST_RECHECK_SECONDS, recheck)

    async def _raise(self) -> None:
        scale = await self._platform.scale(self._key)
        now, needed = self._clock(), self._needed()
        if scale.replicas == 0 and now >= self._crowd_until:
            self._crowd_until = now + CROWD_SECONDS
        self._asked = max(scale.replicas, needed)
        if scale.replicas < needed and (scale.replicas == 0 or now < self._crowd_until):
            await self._platform.set_scale(
                self._key, needed, manager=MANAGER_GATEWAY, version=scale.version
            )
            self._looks = 0

    def _failed(self, error: ApiError) -> float:
        self.problem = error
        self._failures = min(self._failures + 1, 16)
        backoff: float = _FIRST_BACKOFF_SECONDS * 2 ** (self._failures - 1)
        longest = min(_LAST_BACKOFF_SECONDS, backoff)
        return longest * self._random.uniform(0.5, 1.0)
