"""What people read of costs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from torpor.cli import output
from torpor.resources.run import Run
from torpor.telemetry.cost import Item, Phase, PriceTable, Snapshot

_HEADER = ["KIND", "NAME", "COST", *(phase.value.upper() for phase in Phase), "OTHER"]
_PHASES = frozenset(phase.value for phase in Phase)
ZERO = Decimal(0)


def money(value: Decimal) -> str:
    """Return an amount: cents from 1 on, below three digits that count, never as 1e-7."""
    if not value:
        return "0"
    if abs(value) >= 1:
        return f"{value:,.2f}"
    return f"{value:.{2 - value.adjusted()}f}".rstrip("0")


def count(value: Decimal) -> str:
    """Return a number of requests: 29,388,340."""
    return f"{value:,.0f}"


def plain(value: Decimal) -> str:
    """Return a number without zeros that say nothing: 200, 0.5."""
    return f"{value.normalize():f}"


def bill(found: Snapshot) -> str:
    """Return the bill as a table below what holds for all of it."""
    table = found.table
    crossover = "no request so far" if found.crossover is None else count(found.crossover)
    since = datetime.fromtimestamp(found.since, UTC).isoformat(timespec="seconds")
    told = {
        "since": f"{since}: counters begin anew with each process",
        "prices": priced(table),
        "spent": f"{table.currency} {money(found.now.total)}",
        "a month like it": f"{table.currency} {money(found.month)}",
        "always on": f"{table.currency} {money(found.always_on)} a month",
        "crossover": f"{crossover} requests a month" if found.crossover else crossover,
    }
    return "\n".join([*output.facts(told), "", _items(found.now.items)])


def of_run(items: Sequence[Item], whole: Item, run: Run) -> str:
    """Return what the variants of a run cost, and the run itself."""
    note = f"{run.pod_seconds:.1f} pod seconds; at the prices that the transcode was given"
    return "\n".join([note, "", _items([*items, whole])])


def priced(table: PriceTable) -> str:
    """Return which prices these are, and of when."""
    return f"{table.name}: {table.title}, {table.as_of.isoformat()}"


def _items(items: Sequence[Item]) -> str:
    return output.table(_HEADER, [_row(item) for item in items])


def _row(item: Item) -> list[str]:
    parts: Mapping[str, Decimal] = {str(name): value for name, value in item.parts.items()}
    other = sum((value for name, value in parts.items() if name not in _PHASES), ZERO)
    phases = [money(parts.get(phase.value, ZERO)) for phase in Phase]
    return [item.kind.value, item.name, money(item.amount), *phases, money(other)]
