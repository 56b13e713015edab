"""What holds of every bill and every comparison."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from torpor.telemetry.cost import (
    Comparison,
    Load,
    Phase,
    PriceTable,
    Size,
    Steps,
    Usage,
    Work,
    bill,
    compare,
    named_server,
    named_table,
    shipped_servers,
    shipped_tables,
)

COMPARABLE = [table.name for table in shipped_tables() if table.requests or table.pods]
amounts = st.decimals(0, 10**7, places=3)
sizes = st.builds(Size, *[st.decimals(0, 64, places=3)] * 2, st.integers(0, 8).map(Decimal))
works = st.builds(
    Work,
    sizes,
    amounts,
    amounts,
    st.dictionaries(st.sampled_from(Phase), amounts),
    st.booleans(),
)
usages = st.builds(
    Usage,
    st.dictionaries(st.sampled_from(["a/f", "a/g", "b/f"]), works),
    st.dictionaries(st.sampled_from(["a/w", "b/w"]), st.builds(Steps, amounts, amounts, amounts)),
)
tables = st.sampled_from(shipped_tables())
ROUNDED = Decimal("1e-12")
"""To this each part of a bill is rounded."""


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    table = named_table(draw(st.sampled_from(COMPARABLE)))
    server = named_server(draw(st.sampled_from(sorted(shipped_servers()))), table)
    load = Load.of(
        draw(st.integers(0, 10**9)),
        draw(st.integers(0, 900_000)),
        draw(st.integers(64, 512)),
        draw(st.sampled_from(["0", "0.1", "1"])),
        draw(st.integers(0, 20)),
    )
    return compare(load, table, server)


@given(usages, tables)
def test_a_bill_is_the_sum_of_its_parts(usage: Usage, table: PriceTable) -> None:
    found = bill(usage, table)
    parts = [part for item in found.items for part in item.parts.values()]
    assert found.total == sum(parts, Decimal(0))
    assert all(part >= 0 for part in parts)
    names = sorted(item.name for item in found.items)
    assert names == sorted([*usage.functions, *usage.workflows])


@given(usages, tables, st.decimals(1, 1000, places=2))
def test_more_of_the_same_costs_in_proportion(
    usage: Usage, table: PriceTable, factor: Decimal
) -> None:
    bills = bill(usage, table), bill(usage.times(factor), table)
    once, more = (each.total for each in bills)
    parts = sum(len(item.parts) for item in bills[0].items)
    assert more >= once
    rounding = ROUNDED * parts * (factor + 1)
    assert abs(more - once * factor) <= max(rounding, more / 10**9)


@given(comparisons())
def test_at_the_crossover_both_cost_the_same_and_before_it_serverless_less(
    it: Comparison,
) -> None:
    if not it.crossover:
        return
    tiny = it.server_month / 10**9
    assert abs(it.serverless(it.crossover) - it.always_on(it.crossover)) <= tiny
    for part in ("0", "0.3", "0.999"):
        before = it.crossover * Decimal(part)
        assert it.serverless(before) < it.always_on(before)


@given(comparisons(), st.integers(0, 10**10))
def test_without_a_crossover_serverless_is_cheaper_at_any_load(
    it: Comparison, requests: int
) -> None:
    if it.crossover is None:
        assert it.serverless(Decimal(requests)) < it.always_on(Decimal(requests))


@given(comparisons(), st.integers(0, 10**9), st.integers(0, 10**9))
def test_more_requests_never_cost_less(it: Comparison, one: int, other: int) -> None:
    low, high = sorted((Decimal(one), Decimal(other)))
    assert it.serverless(low) <= it.serverless(high)
    assert it.always_on(low) <= it.always_on(high)
