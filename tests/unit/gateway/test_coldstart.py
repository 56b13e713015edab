"""Phases of a cold start: together the total, never negative, whatever was observed when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torpor.gateway.coldstart import KEPT, LATEST, ColdStarts, Marks
from torpor.resources.load import PHASES
from torpor.resources.names import FunctionKey

KEY = FunctionKey("shop", "echo")
MOMENT = st.one_of(st.none(), st.floats(0, 100))


@given(st.floats(0, 100), MOMENT, MOMENT, MOMENT, MOMENT, st.floats(0, 100))
def test_phases_are_never_negative_and_add_up(
    held: float,
    scaled: float | None,
    scheduled: float | None,
    started: float | None,
    listening: float | None,
    released: float,
) -> None:
    marks = Marks(held, scaled, scheduled, started, listening, released)
    phases = marks.phases()
    assert all(value >= 0 for value in phases.values())
    assert sum(phases.values()) == pytest.approx(marks.total_ms)
    assert set(phases) <= set(PHASES)


def test_what_was_not_seen_is_absent_and_its_time_is_in_the_next() -> None:
    marks = Marks(1.0, 1.01, None, None, 1.5, 1.502)
    assert {k: round(v) for k, v in marks.phases().items()} == {
        "decide": 10,
        "start": 490,
        "release": 2,
    }


def test_memory_is_bounded_and_sequences_go_on() -> None:
    cold_starts = ColdStarts()
    for number in range(300):
        cold_starts.add(KEY, Marks(0, None, None, None, None, number / 1000))
    assert [item.sequence for item in cold_starts.latest] == list(range(301 - LATEST, 301))
    kept = range(300 - KEPT, 300)
    assert cold_starts.quantiles_ms(KEY) == {
        "p50": pytest.approx(kept[49]),
        "p95": pytest.approx(kept[94]),
    }
    cold_starts.forget(KEY)
    assert cold_starts.quantiles_ms(KEY) == {}
