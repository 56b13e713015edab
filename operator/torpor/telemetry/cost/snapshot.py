"""The cost part of the dashboard's snapshot, which `torpor cost` prints too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from torpor.telemetry.cost.bill import Bill, Kind, bill
from torpor.telemetry.cost.rates import PriceTable
from torpor.telemetry.cost.samples import Source, source
from torpor.telemetry.cost.tables import DEFAULT_SERVER, shipped_servers
from torpor.telemetry.cost.usage import Usage, Work, together
from torpor.telemetry.cost.values import HOUR_SECONDS, MONTH_SECONDS, ZERO, to_number

_LEAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was spent since `since`, and what a month costs that goes on like it.

    Each source is taken on from its own start: one that began a minute ago counted a minute.
    `always_on` is what a month costs without scaling to zero: a pod of each Function where pods are
    paid for, one server where requests are. `crossover` is from how many requests a month on, at
    what one costs in such a month, this is no dearer; None where there was no request that cost.
    """

    since: float
    table: PriceTable
    usage: Usage
    now: Bill
    month: Decimal
    always_on: Decimal
    crossover: Decimal | None

    def to_json(self) -> dict[str, Any]:
        """Return it as ADR 8 has it."""
        crossover = None if self.crossover is None else to_number(self.crossover)
        return {
            "since": self.since,
            "table": self.table.name,
            "asOf": self.table.as_of.isoformat(),
            "currency": self.table.currency,
            "now": to_number(self.now.total),
            "month": to_number(self.month),
            "alwaysOn": to_number(self.always_on),
            "crossoverRequests": crossover,
            "items": [item.to_json() for item in self.now.items],
        }


def snapshot(metrics: Iterable[str], table: PriceTable, now: float) -> dict[str, Any]:
    """Return the `cost` of ADR 8 from the text of each role's `/metrics`, as of `now`.

    `now` is in seconds since 1970. BadUsage if a text is none of metrics.
    """
    return taken([source(text) for text in metrics], table, now).to_json()


def taken(sources: Iterable[Source], table: PriceTable, now: float) -> Snapshot:
    """Return what these sources tell, at these prices, as of `now`."""
    found = list(sources)
    usage = together(it.usage for it in found)
    begun = [it.since for it in found if it.since is not None]
    since = min(begun, default=now)
    monthly = together(it.usage.times(_month(it, since, now)) for it in found)
    like_it = bill(monthly, table)
    always_on = _always_on(usage.functions, table)
    return Snapshot(
        since=since,
        table=table,
        usage=usage,
        now=bill(usage, table),
        month=like_it.total,
        always_on=always_on,
        crossover=_crossover(monthly.functions, like_it, always_on),
    )


def _month(it: Source, since: float, now: float) -> Decimal:
    begun = it.since if it.since is not None else since
    return MONTH_SECONDS / Decimal(str(max(_LEAST_SECONDS, now - begun)))


def _always_on(functions: Mapping[str, Work], table: PriceTable) -> Decimal:
    if table.requests is None and table.pods:
        pods = [work.size for work in functions.values() if not work.is_runs]
        return sum((MONTH_SECONDS * table.pods.second(size) for size in pods), ZERO)
    server = table.server or shipped_servers()[DEFAULT_SERVER]
    return server.hour * MONTH_SECONDS / HOUR_SECONDS


def _crossover(functions: Mapping[str, Work], month: Bill, always_on: Decimal) -> Decimal | None:
    requests = sum((work.requests for work in functions.values()), ZERO)
    amounts = [item.amount for item in month.items if item.kind is Kind.FUNCTION]
    amount = sum(amounts, ZERO)
    return always_on * requests / amount if requests and amount else None
