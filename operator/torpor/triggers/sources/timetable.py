"""The instants of a schedule, and which of them are due. Pure: time comes in, time goes out.

All times are Unix seconds. Cron has the semantics of Debian's cron(8) when clocks change: what
would fall into the skipped hour comes right after it, what falls into the repeated hour comes once,
and jobs of every hour or minute go by elapsed time.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from torpor.errors import InvalidResource
from torpor.resources.fields import Fields
from torpor.triggers.event.timestamp import is_timestamp

ON_TIME_SECONDS: Final = 30.0
"""What is late by less was not missed: a lease takes so long to change hands."""
SET_BACK_SECONDS: Final = 3 * 3600.0
"""A clock set back by more was wrong before, says cron(8): the schedule begins anew."""
MOST_DUE: Final = 1000
"""Of more missed times only the last are made up for."""

_EVERY: Final = re.compile(r"(?=.)(?:([0-9]{1,7})h)?(?:([0-9]{1,7})m)?(?:([0-9]{1,7})s)?")
_CRON_FIELDS: Final = 5
_CRON_HINT: Final = (
    "write five fields, minute hour day-of-month month day-of-week, such as '0 9 * * 1-5'"
)
_CRON: Final = re.compile(
    r"(?:[-0-9*,/\s]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
    r"|sun|mon|tue|wed|thu|fri|sat)*",
    re.IGNORECASE,
)
"""What crontab(5) has; cronsim has more, such as L and #."""
_NO_ZONES: Final = frozenset({"localtime", "posixrules", "Factory", "posix", "right"})
"""Files and folders beside the zones, which mean another time on another machine."""
_ANY_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)


class Timetable(Protocol):
    """When a schedule fires."""

    def times(self, after: float) -> Iterator[float]:
        """Yield the instants later than `after`, the earliest first."""
        ...

    def begins(self, now: float) -> float:
        """Return up to when a Trigger that is read for the first time has nothing to fire."""
        ...


@dataclass(frozen=True, slots=True)
class Cron:
    """Five fields of crontab(5) in a time zone."""

    expression: str
    zone: ZoneInfo

    def times(self, after: float) -> Iterator[float]:
        """Yield until the expression matches nothing within 50 years."""
        start = datetime.fromtimestamp(after, self.zone)
        for found in CronSim(self.expression, start):
            # In the repeated hour cronsim goes by wall time, which has been there before.
            if (instant := found.timestamp()) > after:
                yield instant

    def begins(self, now: float) -> float:
        """What was before the Trigger is not its business."""
        return now


@dataclass(frozen=True, slots=True)
class Every:
    """Each multiple of a period since the Unix epoch, so that all processes mean the same."""

    period_seconds: int

    def times(self, after: float) -> Iterator[float]:
        """Yield for ever."""
        first = math.floor(after / self.period_seconds) + 1
        return (float(number * self.period_seconds) for number in itertools.count(first))

    def begins(self, now: float) -> float:
        """What was before the Trigger is not its business."""
        return now


@dataclass(frozen=True, slots=True)
class Once:
    """One instant."""

    at: float

    def times(self, after: float) -> Iterator[float]:
        """Yield the instant if it is still to come."""
        return iter((self.at,) if self.at > after else ())

    def begins(self, now: float) -> float:
        """It may have come while the Trigger was on its way here."""
        return -math.inf


def read_timetable(found: Fields) -> Timetable:
    """Return the timetable of `spec.source.schedule`; InvalidResource says what to write."""
    readers: dict[str, Callable[[Fields], Timetable]] = {
        "cron": _cron,
        "every": _every,
        "at": _at,
    }
    return next(read(found) for name, read in readers.items() if found.has(name))


def due(timetable: Timetable, last: float, now: float, catch_up_seconds: float) -> list[float]:
    """Return what is to be fired now, the earliest first, at most MOST_DUE.

    That is what comes after `last` and was not missed by more than `catch_up_seconds`.
    """
    oldest = now - max(catch_up_seconds, ON_TIME_SECONDS)
    # An instant that is exactly `oldest` still counts.
    start = max(last, math.nextafter(oldest, -math.inf))
    passed = itertools.takewhile(lambda instant: instant <= now, timetable.times(start))
    return list(deque(passed, MOST_DUE))


def believed(last: float, now: float) -> float:
    """Return the instant up to which all was fired, given a clock that may have been set back."""
    return now if last - now > SET_BACK_SECONDS else last


def _cron(found: Fields) -> Timetable:
    text = found.required_text("cron")
    if len(text.split()) != _CRON_FIELDS:
        raise InvalidResource("spec.source.schedule.cron", f"{text!r}: {_CRON_HINT}")
    cron = Cron(text, _zone(found))
    try:
        never = next(cron.times(_ANY_DAY.timestamp()), None) is None
    except CronSimError as error:
        problem = f"{text!r}: {str(error).lower()}: {_CRON_HINT}"
        raise InvalidResource("spec.source.schedule.cron", problem) from error
    if not _CRON.fullmatch(text):
        problem = f"{text!r} has what crontab(5) has not: {_CRON_HINT}"
        raise InvalidResource("spec.source.schedule.cron", problem)
    if never:
        problem = f"{text!r} names a day that never comes: correct day-of-month or month"
        raise InvalidResource("spec.source.schedule.cron", problem)
    return cron


def _zone(found: Fields) -> ZoneInfo:
    name = found.text("timeZone", "UTC")
    try:
        if name.partition("/")[0] in _NO_ZONES:
            raise ValueError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        problem = f"{name!r} is no IANA time zone: write one such as Europe/Berlin, or UTC"
        raise InvalidResource("spec.source.schedule.timeZone", problem) from error


def _every(found: Fields) -> Timetable:
    text = found.required_text("every")
    shape = _EVERY.fullmatch(text)
    hours, minutes, seconds = (int(part or 0) for part in (shape.groups() if shape else (0, 0, 0)))
    period = hours * 3600 + minutes * 60 + seconds
    if period < 1:
        problem = f"{text!r} is no period: write one from 1s on, such as 30s, 15m or 1h30m"
        raise InvalidResource("spec.source.schedule.every", problem)
    return Every(period)


def _at(found: Fields) -> Timetable:
    text = found.required_text("at")
    try:
        if not is_timestamp(text):
            raise ValueError(text)
        return Once(datetime.fromisoformat(text.upper()).timestamp())
    except (ValueError, OverflowError) as error:
        problem = f"{text!r} is no instant of RFC 3339: write one such as 2027-01-31T09:00:00Z"
        raise InvalidResource("spec.source.schedule.at", problem) from error
