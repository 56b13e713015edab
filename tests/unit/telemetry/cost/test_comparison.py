"""Serverless against always on, at figures that were worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from torpor.telemetry.cost import (
    BadPrices,
    BadUsage,
    Comparison,
    Load,
    UnknownPrices,
    compare,
    named_server,
    named_table,
)

MILLION = 1_000_000
CENT = Decimal("0.01")


def lambda_against(server: str, *load: Any, prices: str = "aws-lambda-x86") -> Comparison:
    table = named_table(prices)
    return compare(Load.of(*load), table, named_server(server, table))


@pytest.mark.parametrize(("requests", "dollars"), [(10, "10.33"), (100, "103.33")])
def test_a_quarter_of_a_gigabyte_for_a_fifth_of_a_second(requests: int, dollars: str) -> None:
    found = lambda_against("t3.medium", requests * MILLION, 200, 256)
    each = found.load.requests
    # 10 M x $0.20/M = $2.00; 10 M x 0.2 s x 0.25 GB x $0.0000166667 = $8.33
    assert found.serverless(each).quantize(CENT) == Decimal(dollars)
    assert (each * found.request_part).quantize(CENT) == Decimal("0.20") * requests
    assert found.always_on(each).quantize(CENT) == Decimal("30.37"), "0.0416 x 730 h"
    assert found.to_json()["cheaper"] == ("serverless" if requests == 10 else "always-on")


def test_the_parts_of_ten_million_requests() -> None:
    told = lambda_against("t3.medium", 10 * MILLION, 200, 256).to_json()
    assert told["parts"]["requests"] == 2.0
    assert round(told["parts"]["compute"], 2) == 8.33
    assert round(told["crossoverRequests"]) == 29_388_340, "30.368 / 0.000001033335"


def test_half_a_gigabyte_for_a_fifth_of_a_second_is_a_sixth_of_a_millionth() -> None:
    found = lambda_against("t3.medium", 1, 200, 512)
    compute = found.each - found.request_part
    assert compute == Decimal("0.00000166667")
    assert compute.quantize(Decimal("0.0000001")) == Decimal("0.0000017")


@pytest.mark.parametrize(
    ("server", "millions"),
    [("t3.micro", 18.6), ("t4g.small", 30.0), ("t3.small", 37.2), ("t3.medium", 74.4)],
)
def test_where_a_tenth_of_a_second_in_128_mib_meets_each_server(
    server: str, millions: float
) -> None:
    # a request is $0.0000002 + 0.1 s x 0.125 GB x $0.0000166667 = $0.00000040833
    crossover = lambda_against(server, MILLION, 100, 128).crossover
    assert crossover is not None
    assert round(float(crossover) / MILLION, 1) == millions


def test_places_kept_ready_cost_without_a_request() -> None:
    found = lambda_against("t3.medium", 0, 200, 256, 0, 2, prices="aws-lambda-x86-provisioned")
    # 2 x 0.25 GB x 2,628,000 s x $0.0000041667
    assert found.serverless(Decimal(0)).quantize(CENT) == Decimal("5.48")
    assert found.crossover is not None
    assert found.serverless(found.crossover).quantize(CENT) == found.server_month.quantize(CENT)


def test_always_on_is_cheaper_from_the_first_request_where_ready_places_cost_more() -> None:
    found = lambda_against("t3.micro", 1, 200, 512, 0, 9, prices="aws-lambda-x86-provisioned")
    assert found.crossover == 0


def test_servers_are_added_as_places_run_out() -> None:
    found = lambda_against("t3.micro", 1, 1000, 512, "1")  # two places by memory and by vCPU
    assert found.capacity == 2 * 2_628_000
    assert [found.servers(Decimal(n)) for n in (0, 1, 5_256_000, 5_256_001)] == [1, 1, 1, 2]


def test_a_request_cheaper_than_its_share_of_a_server_never_meets_it() -> None:
    table = named_table("aws-fargate-spot")
    found = compare(Load.of(1, 60_000, 4096, 2), table, named_server("m6i.large", table))
    # a place is the whole server, $0.096 an hour, and $0.0296 on spot
    assert found.crossover is None
    assert found.to_json()["crossoverRequests"] is None


def test_times_and_memory_are_rounded_up_as_each_cloud_does() -> None:
    run = named_table("google-cloud-run")
    server = named_server("t3.medium", run)
    short, long = (compare(Load.of(1, ms, 512, 1), run, server).each for ms in (1, 100))
    assert (
        short
        == long
        == Decimal("0.0000004")
        + Decimal("0.1") * (Decimal("0.5") * Decimal("0.0000025") + Decimal("0.000024"))
    )
    azure = named_table("azure-functions")
    little, step = (compare(Load.of(1, 200, mib), azure, server).each for mib in (129, 256))
    assert little == step
    blink, tenth = (compare(Load.of(1, ms, 128), azure, server).each for ms in (1, 100))
    assert blink == tenth == Decimal("0.0000002") + Decimal("0.1") * Decimal("0.000002")


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ((-1, 200, 256), "requests a month must be a number from 0"),
        (("many", 200, 256), "requests a month must be a number, is 'many'"),
        ((1, float("nan"), 256), "milliseconds"),
        ((1, float("inf"), 256), "milliseconds"),
        ((1, 200, 0), "memory in MiB must be more than 0"),
        ((1, 200, "1e-999999"), "memory in MiB must be more than 0"),
        ((1, 200, 256, -1), "vCPUs"),
        ((1, 200, 256, 0, "-2"), "places kept ready"),
        ((True, 200, 256), "not bool"),
        ((10**20, 200, 256), "1e19"),
        ((1, 200, 100_000), "larger than t3.medium"),
    ],
)
def test_a_load_that_cannot_be_is_refused_by_name(load: tuple[Any, ...], words: str) -> None:
    with pytest.raises(BadUsage, match=words):
        lambda_against("t3.medium", *load)


@pytest.mark.parametrize("prices", ["aws-lambda-x86", "azure-functions", "own-nodes"])
def test_no_amount_is_too_small_or_too_large_to_compare(prices: str) -> None:
    for load in (("1e-999999", "1e-999999", "1e-10"), (1, "1e-17", "1e-17"), ("1e18", "1e18", 1)):
        told = lambda_against("t3.medium", *load, prices=prices).to_json()
        assert told["alwaysOn"] >= 30


def test_a_table_without_prices_of_requests_or_pods_cannot_be_compared() -> None:
    with pytest.raises(BadPrices, match="step-functions has no price"):
        lambda_against("t3.medium", 1, 1, 128, prices="step-functions")


def test_an_unknown_server_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(UnknownPrices, match=r"no server 'abacus'.*t3\.medium.*own-nodes"):
        named_server("abacus", named_table("own-nodes"))
