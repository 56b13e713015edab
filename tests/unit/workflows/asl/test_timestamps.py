"""Timestamps: the one form AWS takes, exact to the nanosecond."""

from __future__ import annotations

import pytest

from torpor.workflows.asl.timestamps import epoch_nanoseconds, epoch_seconds, format_timestamp


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
        ("2016-12-05T21:29:29Z", 1_480_973_369_000_000_000),
        ("2016-12-05t21:29:29z", 1_480_973_369_000_000_000),
        ("2016-12-05T21:29Z", 1_480_973_340_000_000_000),
    ],
)
def test_a_timestamp_is_an_instant(text: str, expected: int) -> None:
    assert epoch_nanoseconds(text) == expected
    assert epoch_seconds(text) == expected / 1_000_000_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2016-12-05 21:29:29Z",
        "2016-12-05T21:29:29",
        "2016-13-05T21:29:29Z",
        "2016-12-05T25:29:29Z",
        "2016-12-05T21:29:60Z",
        "05-12-2016T21:29:29Z",
        "2016-12-05",
        "2016-12-05T21:29:29+0100",
        "2016-12-05T21:29:29.Z",
        "2016-02-30T21:29:29Z",
        "2016-12-05T21:29:29Zx",
        "2016-12-05T21:29.5Z",
    ],
)
def test_anything_else_is_not_a_timestamp(text: str) -> None:
    assert epoch_nanoseconds(text) is None
    assert epoch_seconds(text) is None


def test_the_context_shows_milliseconds() -> None:
    assert format_timestamp(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"
