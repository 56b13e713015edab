"""Schedule expressions of EventBridge as those of crontab(5). Pure.

Source: Amazon EventBridge User Guide, "Schedule expression types". AWS counts weekdays from 1
(Sunday), crontab from 0, and has a field for the year, which crontab has not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_FORM = re.compile(r"\s*(rate|cron|at)\(\s*(.*?)\s*\)\s*")
_RATE = re.compile(r"([1-9][0-9]{0,6})\s+(minute|hour|day)s?")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAY = re.compile(r"\b[1-7]\b")
_STRANGE = re.compile(r"#|L(?!\w)|LW|(?<=\d)W")
"""What crontab lacks: the nth weekday, the last one, the weekday nearest to a day."""


class NoSchedule(ValueError):
    """The expression cannot be said here; the message says why."""


def schedule_of(expression: str, time_zone: str = "UTC") -> Mapping[str, Any]:
    """Return the fields of `spec.source.schedule` for an expression; NoSchedule."""
    found = _FORM.fullmatch(expression)
    if found is None:
        raise NoSchedule(f"{expression!r} is none of rate(…), cron(…) and at(…)")
    kind, inside = found.groups()
    if kind == "rate":
        return {"every": _every(inside)}
    if kind == "at":
        return {"at": _instant(inside, time_zone)}
    zone = {} if time_zone == "UTC" else {"timeZone": time_zone}
    return {"cron": _cron(inside), **zone}


def _every(text: str) -> str:
    found = _RATE.fullmatch(text)
    if found is None:
        raise NoSchedule(f"rate({text}): write a number and minutes, hours or days")
    number, unit = int(found[1]), found[2]
    return {"minute": f"{number}m", "hour": f"{number}h", "day": f"{number * 24}h"}[unit]


def _instant(text: str, time_zone: str) -> str:
    try:
        moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(time_zone))
    except (ValueError, ZoneInfoNotFoundError) as error:
        raise NoSchedule(f"at({text}) in {time_zone}: {error}") from None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cron(text: str) -> str:
    fields = text.upper().split()
    if len(fields) != 6:
        raise NoSchedule(f"cron({text}) must have six fields")
    minute, hour, day, month, weekday, year = fields
    if year != "*":
        raise NoSchedule(f"cron({text}): crontab has no field for the year {year}")
    strange = next((it for it in (day, weekday) if _STRANGE.search(it)), None)
    if strange:
        raise NoSchedule(f"cron({text}): crontab has no {strange}: let the handler look at the day")
    weekday = weekday if weekday in "*?" else _weekdays(weekday)
    return " ".join("*" if it == "?" else it for it in (minute, hour, day, month, weekday))


def _weekdays(field: str) -> str:
    """Return weekdays by their names: numbers mean other days in crontab."""
    step = ""
    if "/" in field:
        field, _, step = field.partition("/")
        step = f"/{step}"
    return _DAY.sub(lambda day: _DAYS[int(day[0]) - 1], field) + step
