"""What time costs, at prices that come as a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from torpor.checkpoint import BadInput
from torpor.transcode.cost import Prices, Size, own_size, read_prices

PRICES = {"asOf": "2026-01", "currency": "EUR", "note": "made up"}
HOURLY = {"vcpuHour": 0.04, "gibHour": 0.005, "gpuHour": 1.0}


def test_an_hour_of_a_machine_costs_the_sum_of_its_parts() -> None:
    prices = Prices("2026-01", "EUR", "made up", 0.04, 0.005, 1.0)
    assert Size(2, 4, 1).cost(3600, prices) == pytest.approx(1.10)
    assert Size(1, 2, 0).cost(60, prices) == pytest.approx(0.05 / 60)


def test_prices_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({**PRICES, **HOURLY}))
    assert read_prices(path) == Prices("2026-01", "EUR", "made up", 0.04, 0.005, 1.0)


def test_prices_of_fargate_come_along() -> None:
    """Hand-computed: 1 vCPU and 2 GiB cost 0.04937 an hour, 36.04 a month of 730 hours."""
    assert Size(1, 2, 0).cost(730 * 3600, read_prices(None)) == pytest.approx(36.04, abs=0.005)


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({**PRICES, "vcpuHour": "free"})])
def test_what_are_no_prices_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"prices\.json cannot be read as prices, which are asOf"):
        read_prices(path)


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_prices_that_are_no_money_are_told(tmp_path: Path, price: float) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({**PRICES, **HOURLY, "gpuHour": price}))
    with pytest.raises(BadInput, match="below 0"):
        read_prices(path)


def test_a_container_is_as_large_as_its_limits(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{1 << 28}\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert own_size(1, tmp_path) == Size(0.5, 0.25, 1)


def test_without_limits_it_is_the_machine(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert own_size(0, tmp_path) == own_size(0, tmp_path / "no-cgroup")
    assert own_size(0, tmp_path).vcpus >= 1
