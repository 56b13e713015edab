"""What the gateway reads of a Function, its status included."""

from __future__ import annotations

from typing import Any

import pytest

from torpor.gateway.terms import Part, Terms
from torpor.resources.function import Function


def terms(reason: str, *, observed: int = 3, status: str = "False") -> Terms:
    ready: dict[str, Any] = {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": "ConfigMap shop/code does not exist",
        "observedGeneration": observed,
    }
    return Terms.of(
        Function.parse(
            {
                "metadata": {"name": "cart", "namespace": "shop", "generation": 3},
                "spec": {"image": "shop/cart:1"},
                "status": {"conditions": [ready]},
            }
        )
    )


def test_what_no_instance_can_be_started_for_is_blocked() -> None:
    blocked = terms("ConfigMapMissing").blocked
    assert blocked is not None
    assert (blocked.reason, blocked.final) == ("ConfigMapMissing", True)
    assert "does not exist" in blocked.message


@pytest.mark.parametrize(
    "open_to_try",
    [
        terms("CrashLoopBackOff"),
        terms("ConfigMapMissing", observed=2),
        terms("AtZero", status="True"),
    ],
    ids=["an instance failed", "an older spec", "ready"],
)
def test_what_another_try_may_mend_is_not_blocked(open_to_try: Terms) -> None:
    assert open_to_try.blocked is None


@pytest.mark.parametrize(("waiting", "replicas"), [(0, 1), (1, 1), (50, 1), (51, 2), (9999, 20)])
def test_a_wake_asks_for_what_a_gateways_share_of_the_limit_serves(
    waiting: int, replicas: int
) -> None:
    part = Part(terms("AtZero", status="True"), share=50, local=True)
    assert part.replicas_for(waiting) == replicas
