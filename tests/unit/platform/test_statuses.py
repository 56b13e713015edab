"""When people are told of a Ready that turned."""

from __future__ import annotations

import pytest

from torpor.platform.kubernetes.statuses import News

WELL = {"status": "True", "reason": "AtZero", "message": "asleep"}
STARTS = {"status": "Unknown", "reason": "Pending", "message": "being made"}
FAILS = {"status": "False", "reason": "Broken", "message": "one word"}
FAILS_IN_OTHER_WORDS = {**FAILS, "message": "other words"}
FAILS_OTHERWISE = {**FAILS, "reason": "Lost"}
Ready = dict[str, str]


@pytest.mark.parametrize(
    ("was", "now", "is_news"),
    [
        (None, WELL, True),
        (None, FAILS, True),
        (WELL, FAILS, True),
        (FAILS, WELL, True),
        (FAILS, FAILS_OTHERWISE, True),
        (FAILS, FAILS_IN_OTHER_WORDS, True),
        (FAILS, FAILS, False),
        (WELL, {**WELL, "reason": "Serving"}, False),
    ],
)
def test_a_ready_that_turned_is_news(was: Ready | None, now: Ready, is_news: bool) -> None:
    assert News().has_turned(was, now) is is_news


@pytest.mark.parametrize(
    ("was", "now", "is_news"),
    [
        (None, WELL, False),
        (None, STARTS, False),
        (None, FAILS, True),
        (STARTS, WELL, True),
        (FAILS, FAILS_IN_OTHER_WORDS, False),
        (FAILS, FAILS_OTHERWISE, True),
    ],
)
def test_what_is_expected_of_a_new_object_and_what_only_its_words_say_is_none(
    was: Ready | None, now: Ready, is_news: bool
) -> None:
    news = News(failing=("reason",), expected=("True", "Unknown"))
    assert news.has_turned(was, now) is is_news
