"""What a traceparent says: whole ones, those of later versions, and what is none."""

from __future__ import annotations

import pytest

from torpor.resources.trace_context import TraceParent, beginning, whole

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{SPAN}-01"


def test_it_names_the_trace_the_callers_span_and_the_flags() -> None:
    assert whole(GIVEN) == beginning(GIVEN) == TraceParent(TRACE, SPAN, "01")


def test_a_later_version_may_say_more_behind_it() -> None:
    later = f"cc-{TRACE}-{SPAN}-01-what-comes"
    assert beginning(later) == TraceParent(TRACE, SPAN, "01")
    assert whole(later) is None


@pytest.mark.parametrize(
    "text", ["", GIVEN.upper(), f" {GIVEN}", GIVEN[:-1], f"{GIVEN}1", f"00-{TRACE}-{SPAN}"]
)
def test_what_is_none(text: str) -> None:
    assert whole(text) is None
    assert beginning(text) is None


def test_zeros_name_nothing() -> None:
    assert whole(f"00-{'0' * 32}-{'0' * 16}-00") == TraceParent(None, None, "00")


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False)])
def test_the_last_bit_of_the_flags_asks_for_spans(flags: str, sampled: bool) -> None:
    found = whole(f"00-{TRACE}-{SPAN}-{flags}")
    assert found is not None
    assert found.is_sampled is sampled
