"""Schedule expressions of EventBridge as those of crontab."""

from __future__ import annotations

import pytest

from torpor.importing.sam.schedules import NoSchedule, schedule_of


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rate(1 minute)", {"every": "1m"}),
        ("rate(6 hours)", {"every": "6h"}),
        ("rate(7 days)", {"every": "168h"}),
        ("cron(0 12 * * ? *)", {"cron": "0 12 * * *"}),
        ("cron(15 10 ? * 2-6 *)", {"cron": "15 10 * * MON-FRI"}),
        ("cron(0 8 ? * SUN,7 *)", {"cron": "0 8 * * SUN,SAT"}),
        ("cron(0 9 ? * WED,FRI *)", {"cron": "0 9 * * WED,FRI"}),
        ("cron(0/5 8-17 ? * MON-FRI *)", {"cron": "0/5 8-17 * * MON-FRI"}),
        ("at(2027-01-31T09:00:00)", {"at": "2027-01-31T09:00:00Z"}),
    ],
)
def test_what_crontab_can_say(expression: str, expected: dict[str, str]) -> None:
    assert schedule_of(expression) == expected


def test_an_instant_is_meant_in_its_time_zone() -> None:
    found = schedule_of("at(2027-01-31T09:00:00)", "Europe/Rome")
    assert found == {"at": "2027-01-31T08:00:00Z"}


def test_a_time_zone_stays_with_its_cron_line() -> None:
    found = schedule_of("cron(0 9 * * ? *)", "Europe/Rome")
    assert found == {"cron": "0 9 * * *", "timeZone": "Europe/Rome"}


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("cron(0 12 L * ? *)", "crontab has no L"),
        ("cron(0 12 ? * 6#3 *)", "crontab has no 6#3"),
        ("cron(0 12 15W * ? *)", "crontab has no 15W"),
        ("cron(0 12 LW * ? *)", "crontab has no LW"),
        ("cron(0 12 ? * FRIL *)", "crontab has no FRIL"),
        ("cron(0 12 * * ? 2027)", "no field for the year 2027"),
        ("cron(0 12 * * *)", "must have six fields"),
        ("rate(0 minutes)", "write a number"),
        ("rate(5 weeks)", "write a number"),
        ("every day", "is none of"),
        ("at(tomorrow)", "tomorrow"),
    ],
)
def test_what_crontab_cannot_say(expression: str, why: str) -> None:
    with pytest.raises(NoSchedule, match=why):
        schedule_of(expression)
