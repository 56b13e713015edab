"""Provisioned windows: a floor of replicas for a while after each time that a cron line names.

Times are those of the window's time zone. As in Debian's cron, a line that names an hour opens
once on a day whose clock is put back, and a time that the clock skips opens when the hour after it
begins. The duration is real time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from torpor.errors import InvalidResource
from torpor.resources.function import Provisioned


class ProvisionedFloor:
    """The floor of all provisioned windows of one function; cheap to ask between its changes."""

    __slots__ = ("_floor", "_until", "_windows")

    def __init__(self, windows: tuple[Provisioned, ...]) -> None:
        """Parse the windows; InvalidResource names the one that cannot be understood."""
        self._windows = tuple(_Window(number, item) for number, item in enumerate(windows))
        self._floor = 0
        self._until = -math.inf if windows else math.inf

    def at(self, moment: float) -> int:
        """Return the replicas asked for at `moment` (seconds since 1970; it only moves on)."""
        if moment >= self._until:
            states = [window.state(moment) for window in self._windows]
            self._floor = max(replicas for replicas, _ in states)
            self._until = min(until for _, until in states)
        return self._floor


NO_WINDOWS = ProvisionedFloor(())


def sound(windows: tuple[Provisioned, ...]) -> tuple[ProvisionedFloor, InvalidResource | None]:
    """Return the floor of the windows that can open, and what keeps the first other one from it."""
    found, wrong = [], None
    for number, item in enumerate(windows):
        try:
            _Window(number, item)
        except InvalidResource as error:
            wrong = wrong or error
        else:
            found.append(item)
    return ProvisionedFloor(tuple(found)) if found else NO_WINDOWS, wrong


def fault(windows: tuple[Provisioned, ...]) -> InvalidResource | None:
    """Return what keeps the first window that can never open from it; None if all can."""
    return sound(windows)[1]


class _Window:
    __slots__ = ("_spec", "_zone")

    def __init__(self, number: int, spec: Provisioned) -> None:
        path = f"spec.scaling.provisioned[{number}]"
        try:
            self._zone = ZoneInfo(spec.time_zone)
        except (KeyError, ValueError, OSError):
            problem = f"{spec.time_zone!r} is not a time zone such as Europe/Rome"
            raise InvalidResource(f"{path}.timeZone", problem) from None
        try:
            opens = next(CronSim(spec.schedule, datetime(2000, 1, 1, tzinfo=UTC)), None)
        except CronSimError as error:
            problem = f"{spec.schedule!r} is not a cron line that ever comes true: {error}"
            raise InvalidResource(f"{path}.schedule", problem) from None
        if opens is None:
            problem = f"{spec.schedule!r} is a cron line that never comes true"
            raise InvalidResource(f"{path}.schedule", problem)
        self._spec = spec

    def state(self, moment: float) -> tuple[int, float]:
        """Return the replicas that this window asks for, and until when that holds."""
        for start in self._starts(moment - self._spec.duration_seconds):
            if start > moment:
                return 0, start
            end = start + self._spec.duration_seconds
            if end > moment:
                return self._spec.replicas, end
        return 0, math.inf

    def _starts(self, after: float) -> Iterator[float]:
        # On the day the clock is put back, the first ones may lie up to an hour before `after`.
        since = datetime.fromtimestamp(math.floor(after), self._zone)
        return (start.timestamp() for start in CronSim(self._spec.schedule, since))
