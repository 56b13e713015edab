"""How many instances a lag is work for."""

from __future__ import annotations

from typing import Any

import pytest

from torpor.resources.function import Function
from torpor.triggers.standings import TargetFacts
from torpor.triggers.status import Problem
from torpor.triggers.wanted import facts_of, instances_for, read


def trigger(**spec: Any) -> Any:
    whole = {"source": {"bus": {"name": "b"}}, "target": {"function": {"name": "f"}}, **spec}
    found = read({"metadata": {"name": "t", "namespace": "n"}, "spec": whole})
    assert not isinstance(found, Problem)
    return found


def facts(**concurrency: int) -> TargetFacts:
    spec = {"image": "a:1", "scaling": {"concurrency": concurrency}}
    return facts_of(Function.parse({"metadata": {"name": "f"}, "spec": spec}))


@pytest.mark.parametrize(
    ("spec", "concurrency", "lag", "instances"),
    [
        ({}, {}, 100, 2.0),
        ({}, {"target": 1, "limit": 1}, 7, 7.0),
        ({}, {"limit": 4}, 8, 2.0),
        ({"batch": {"size": 10}}, {"target": 1, "limit": 1}, 40, 4.0),
        ({"batch": {"size": 1000}}, {}, 1, 1 / 50_000),
        ({"ordering": {"key": "data.id"}}, {"target": 4}, 100_000, 4.0),
        ({"ordering": {"key": "data.id"}, "batch": {"size": 10}}, {"target": 1}, 20, 2.0),
    ],
)
def test_a_delivery_is_a_request_and_a_batch_is_one_delivery(
    spec: dict[str, Any], concurrency: dict[str, int], lag: float, instances: float
) -> None:
    assert instances_for(lag, trigger(**spec), facts(**concurrency)) == pytest.approx(instances)


def test_the_least_lag_is_more_than_none() -> None:
    assert instances_for(1, trigger(batch={"size": 10_000}), facts()) > 0
