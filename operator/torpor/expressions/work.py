"""What evaluation costs, counted and not timed: the same step costs the same whenever it is done.

A unit is a node of a JSONata expression, a few microseconds. The step of a workflow that cost too
much ends, so that no execution has the engine for long; no expression can go on for ever either.
"""

from __future__ import annotations

import threading
from typing import Final

MAX_STEP_WORK: Final = 10_000
"""After this many units a step enters no further state: about 20 ms of work."""

CHARACTERS_PER_UNIT: Final = 128
"""A state reads and writes its input at the least: this many characters of it cost a unit."""


class Meter:
    """The units that a step has cost so far."""

    __slots__ = ("units",)

    def __init__(self) -> None:
        self.units = 0


class _Current(threading.local):
    """The meter of the step that this thread does."""

    def __init__(self) -> None:
        self.meter = Meter()


_current: Final = _Current()


def begin_step() -> Meter:
    """Begin a step with a meter of its own."""
    meter = _current.meter = Meter()
    return meter


def charge(units: int) -> None:
    """Add to the cost of this thread's step."""
    _current.meter.units += units
