"""What stands for a Function that is stored but not understood."""

from __future__ import annotations

from typing import Any

import pytest

from torpor.gateway.terms import Terms
from torpor.resources.stand_in import stand_in

IDENTITY = {"namespace": "shop", "name": "hello", "uid": "u1", "generation": 3}


def terms(**spec: Any) -> Terms:
    return Terms.of(stand_in({"metadata": IDENTITY, "spec": {"image": "x/y", **spec}}))


@pytest.mark.parametrize("spec", [{"port": -1}, {"image": 3}, {"env": [{"name": "A"}] * 2000}])
def test_no_instance_is_started_for_it(spec: dict[str, Any]) -> None:
    found = terms(**spec)
    assert found.uid == "u1"
    assert found.blocked is not None
    assert found.blocked.reason == "InvalidSpec"


def test_what_can_be_understood_of_it_holds() -> None:
    found = terms(env="nonsense", timeoutSeconds=7, scaling={"concurrency": {"limit": 3}})
    assert (found.timeout_seconds, found.limit) == (7.0, 3)


def test_where_its_limit_is_not_understood_an_instance_gets_one_at_once() -> None:
    assert terms(scaling={"concurrency": {"limit": "many"}}).limit == 1
