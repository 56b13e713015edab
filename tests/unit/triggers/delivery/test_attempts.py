"""What an answer means, and when an event is tried again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torpor.resources.trigger import Backoff, Delivery
from torpor.triggers.delivery.attempts import (
    Answer,
    Verdict,
    given_up,
    judge,
    pause_seconds,
    retry_after_seconds,
)

NOW = 1_700_000_000.0
DELIVERY = Delivery()


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, Verdict.DONE) for status in (200, 202, 204, 299)),
        *((status, Verdict.RETRY) for status in (None, 408, 409, 425, 429, 500, 503, 599)),
        *((status, Verdict.GIVE_UP) for status in (301, 304, 400, 401, 404, 410, 422, 499)),
    ],
)
def test_a_status_has_one_meaning(status: int | None, verdict: Verdict) -> None:
    assert judge(Answer(status, "why"), DELIVERY) is verdict


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DONE),
        (418, Verdict.RETRY),
        (500, Verdict.GIVE_UP),
        (429, Verdict.GIVE_UP),
        (None, Verdict.RETRY),
    ],
)
def test_retry_on_replaces_the_statuses_that_may_pass(status: int | None, verdict: Verdict) -> None:
    assert judge(Answer(status), replace(DELIVERY, retry_on=(418,))) is verdict


def test_an_absent_target_is_waited_for() -> None:
    assert judge(Answer(404, "no such function", absent=True), DELIVERY) is Verdict.WAIT


def test_pauses_grow_to_their_maximum() -> None:
    backoff = Backoff(initial_seconds=1, max_seconds=10, factor=2, jitter=0)
    pauses = [pause_seconds(backoff, attempt, lambda: 0.5) for attempt in (1, 2, 3, 4, 5, 5000)]
    assert pauses == [1, 2, 4, 8, 10, 10]


@given(
    attempt=st.integers(1, 2000),
    chance=st.floats(0, 1),
    jitter=st.floats(0, 1),
    asked=st.floats(0, 1e6),
)
def test_a_pause_is_within_its_bounds(
    attempt: int, chance: float, jitter: float, asked: float
) -> None:
    backoff = Backoff(initial_seconds=1, max_seconds=60, factor=3, jitter=jitter)
    found = pause_seconds(backoff, attempt, lambda: chance, asked)
    assert found <= 60
    assert found >= min(asked, 60)
    assert found >= (1 - jitter) * 0.999


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0),
        ("soon", 0),
        ("-5", 0),
        ("1.5", 0),
        ("", 0),
        ("٣", 0),
        ("9" * 400, 9_999_999_999),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@pytest.mark.parametrize(
    ("attempts", "begun", "age", "part"),
    [
        (4, 0, 0, ""),
        (5, 0, 0, "5 attempts failed"),
        (0, 19, 0, ""),
        (0, 20, 0, "20 attempts began"),
        (0, 0, 86_401, "older than 86400 s"),
    ],
)
def test_an_event_is_given_up_for_a_reason(
    attempts: int, begun: int, age: float, part: str
) -> None:
    found = given_up(attempts, begun, age, DELIVERY)
    assert bool(found) == bool(part)
    assert part in found
