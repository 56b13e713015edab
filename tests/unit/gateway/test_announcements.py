"""What instances said of themselves is kept for a while, and for so many of them."""

from __future__ import annotations

from torpor.gateway.announcements import (
    KEPT_FUNCTIONS,
    KEPT_PER_FUNCTION,
    KEPT_SECONDS,
    Announcements,
)
from torpor.resources.names import FunctionKey

KEY = FunctionKey("shop", "echo")


class Now:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def ports(told: Announcements, key: FunctionKey = KEY) -> list[int]:
    return [item.endpoint[1] for item in told.of(key)]


def test_the_latest_word_of_each_endpoint_is_kept_until_it_is_old() -> None:
    now = Now()
    told = Announcements(now)
    told.add(KEY, ("10.0.0.1", 1), "a")
    now.seconds += KEPT_SECONDS / 2
    told.add(KEY, ("10.0.0.1", 2), "b")
    assert ports(told) == [1, 2]
    now.seconds += KEPT_SECONDS / 2 + 1
    assert ports(told) == [2]
    now.seconds += KEPT_SECONDS
    assert ports(told) == []
    assert ports(told) == []


def test_what_announces_itself_again_is_the_latest() -> None:
    told = Announcements(Now())
    for port in (1, 2, 1):
        told.add(KEY, ("10.0.0.1", port), None)
    assert ports(told) == [2, 1]


def test_a_function_has_so_many_and_there_are_so_many_functions() -> None:
    told = Announcements(Now())
    for port in range(KEPT_PER_FUNCTION + 2):
        told.add(KEY, ("10.0.0.1", port), None)
    assert ports(told) == list(range(2, KEPT_PER_FUNCTION + 2))
    for number in range(KEPT_FUNCTIONS):
        told.add(FunctionKey("shop", f"f{number}"), ("10.0.0.2", 1), None)
    assert ports(told) == []
    assert ports(told, FunctionKey("shop", "f0")) == [1]


def test_an_endpoint_or_all_of_a_function_are_forgotten() -> None:
    told = Announcements(Now())
    for port in (1, 2, 3):
        told.add(KEY, ("10.0.0.1", port), None)
    told.drop(KEY, ("10.0.0.1", 2))
    told.drop(FunctionKey("shop", "other"), ("10.0.0.1", 1))
    assert ports(told) == [1, 3]
    told.forget(KEY)
    assert ports(told) == []
