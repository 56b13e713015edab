"""What replicas of the events role tell of the same Trigger becomes one answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from torpor.resources.names import FunctionKey
from torpor.triggers.lags import Lags, lags_from_json, lags_to_json
from torpor.triggers.standings import (
    STARTING,
    Standing,
    TargetFacts,
    Wanted,
    merged,
)

FINE = Standing(FunctionKey("shop", "orders"), "u1", 2, subscribed=True, lag=3, last_event_at=1.5)
AWAY = replace(FINE, subscribed=False, reason="SourceAway", message="no route")
BEGINS = replace(FINE, subscribed=False, reason=STARTING)
OLD = replace(AWAY, generation=1)


@pytest.mark.parametrize(
    ("told", "counts"),
    [
        ([FINE, AWAY], AWAY),
        ([AWAY, FINE], AWAY),
        ([BEGINS, AWAY], AWAY),
        ([AWAY, BEGINS], AWAY),
        ([FINE, BEGINS], BEGINS),
        ([OLD, FINE], FINE),
        ([FINE, OLD], FINE),
    ],
)
def test_the_replica_with_trouble_speaks_for_all(told: list[Standing], counts: Standing) -> None:
    assert merged([item] for item in told) == [counts]


def test_what_only_one_replica_knows_is_known() -> None:
    other = replace(FINE, key=FunctionKey("shop", "other"))
    assert {item.key for item in merged([[FINE], [other], []])} == {FINE.key, other.key}


def test_values_survive_the_wire() -> None:
    facts = TargetFacts(True, 30.0, 4, 8, 20)
    assert Standing.from_json(AWAY.to_json()) == AWAY
    job = TargetFacts(True, is_job=True)
    for wanted in (Wanted({"a": 1}, facts), Wanted({"a": 1}, job), Wanted({"a": 1}, None)):
        assert Wanted.from_json(wanted.to_json()) == wanted
    lags: Lags = {FunctionKey("shop", "f"): {"orders": 7.0}}
    assert lags_from_json(lags_to_json(lags)) == lags
