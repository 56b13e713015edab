"""What a worker does when it is asked to stop: finish what is nearly done, drop the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torpor.checkpoint import Stop, Stopped

RESERVE_SECONDS = 5.0
"""Of the grace: for checking and committing what was finished in it."""
_LOOK_SECONDS = 0.2
_UNKNOWN_SECONDS = 0.001

T = TypeVar("T")


@dataclass(slots=True)
class InHand:
    """A unit that is being made: so many of its frames are done since `begun`.

    The audio has no frames: `heard` is the share of its length that is done.
    `counts` says that what was made of it was not lost, nor made by another worker before.
    """

    name: str
    frames: int
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    heard: float = 0.0
    is_encoded: bool = False
    counts: bool = False
    begun: float = field(init=False)

    def __post_init__(self) -> None:
        self.begun = self.clock()

    @property
    def seconds(self) -> float:
        """How long it has been worked on."""
        return self.clock() - self.begun

    def left_seconds(self) -> float:
        """How long its encoding will still take, at its speed so far.

        While no speed is known, next to nothing: then it is waited for as long as the grace allows.
        """
        if self.is_encoded:
            return 0.0
        done, whole = (self.done, self.frames) if self.frames else (self.heard, 1.0)
        if not done:
            return _UNKNOWN_SECONDS
        return max(_UNKNOWN_SECONDS, (whole - done) * self.seconds / done)


async def unless_stopped(
    work: Coroutine[Any, Any, T], stop: Stop, left_seconds: Callable[[], float]
) -> T:
    """Return what `work` returns; Stopped, and it is cancelled, once it is too long for the grace.

    Too long is what would not end RESERVE_SECONDS before the grace does. Work that has 0 seconds
    left is never cancelled.
    """
    task = asyncio.create_task(work, name="transcode work")
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_LOOK_SECONDS)
            if stop.requested and left_seconds() > max(0.0, stop.left_seconds - RESERVE_SECONDS):
                break
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    if task.cancelled():
        raise Stopped("asked to stop: the unit in hand would not have ended in time")
    return task.result()
