"""Quantities of Kubernetes, and what a pod reserves by them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from torpor.resources.function import Function
from torpor.resources.quantity import quantity
from torpor.resources.reserved import reserved
from torpor.telemetry.cost import named_table, snapshot


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("250m", "0.25"),
        ("1.5", "1.5"),
        (2, "2"),
        (".5", "0.5"),
        ("512Mi", str(512 << 20)),
        ("2G", "2000000000"),
        ("1e3", "1000"),
        ("1E-2", "0.01"),
        ("3E", "3000000000000000000"),
        ("100n", "0.0000001"),
        ("0", "0"),
    ],
)
def test_a_quantity(text: object, number: str) -> None:
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", "-1", "1.2.3", "five", "1Qi", "Infinity", "NaN", "1 Gi", None]
)
def test_no_quantity(text: object) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        quantity(text)


@pytest.mark.parametrize(
    ("spec", "memory", "vcpus", "gpus"),
    [
        ({}, 128 << 20, 0.1, 0),
        ({"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}, 1 << 30, 0.5, 0),
        ({"resources": {"limits": {"memory": "1Gi"}}}, 1 << 30, 0.1, 0),
        (
            {"resources": {"requests": {"memory": "64Mi"}, "limits": {"nvidia.com/gpu": 2}}},
            64 << 20,
            0.1,
            2,
        ),
        ({"resources": {"limits": {"cpu": 4}}, "gpu": {"count": 1}}, 128 << 20, 4.0, 1),
        ({"workload": "Job", "job": {"gpu": {"count": 3}}}, 128 << 20, 0.1, 3),
        ({"resources": {"requests": {"cpu": "much"}}}, 128 << 20, 0.1, 0),
        ({"resources": {"requests": None}}, 128 << 20, 0.1, 0),
    ],
)
def test_what_a_pod_reserves(spec: dict[str, Any], memory: int, vcpus: float, gpus: int) -> None:
    function = Function.parse({"metadata": {"name": "f"}, "spec": {"image": "i", **spec}})
    found = reserved(function)
    assert found == {"memory_bytes": memory, "vcpus": vcpus, "gpus": gpus}


@pytest.mark.parametrize("memory", ["8E", "8Ei", "1e50"])
def test_a_bill_can_be_made_of_whatever_a_function_asks_for(memory: str) -> None:
    function = Function.parse(
        {
            "metadata": {"name": "f", "namespace": "shop"},
            "spec": {"image": "i", "resources": {"limits": {"memory": memory, "cpu": memory}}},
        }
    )
    size = "".join(
        f'torpor_function_pod_size{{namespace="shop",function="f",resource="{name}"}} {value}\n'
        for name, value in reserved(function).items()
    )
    idle = 'torpor_function_pod_seconds_total{namespace="shop",function="f",phase="idle"} 5\n'
    told = snapshot([size + idle], named_table("own-nodes"), 1.0)
    assert told["now"] > 0
