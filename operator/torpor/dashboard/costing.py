"""What a dashboard shows of costs: the bill of what the metrics say, and a comparison asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from torpor.dashboard.model import MOST_ITEMS
from torpor.dashboard.sources import Away, NotPossible
from torpor.telemetry.cost import (
    DEFAULT_SERVER,
    DEFAULT_TABLE,
    BadPrices,
    BadUsage,
    Load,
    UnknownPrices,
    compare,
    named_server,
    named_table,
    snapshot,
)

_ASKED: Final = {
    "requests": "10000000",
    "milliseconds": "200",
    "memoryMib": "256",
    "vcpus": "0",
    "ready": "0",
    "prices": "aws-lambda-x86",
    "alwaysOn": DEFAULT_SERVER,
}
"""What a comparison is of where the question does not say."""
_MOST_CHARACTERS: Final = 40


def bill_json(metrics: Iterable[str], prices: str, now: float) -> dict[str, Any]:
    """Return the bill at the prices of a table, empty for the default one; `now` is Unix time."""
    try:
        found = snapshot(metrics, named_table(prices or DEFAULT_TABLE), now)
    except (BadUsage, BadPrices, UnknownPrices) as error:
        raise Away(str(error)) from error
    return {**found, "items": _bounded(found["items"])}


def _bounded(items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the first ones, and one for all the others, so that the sum stays what it is."""
    if len(items) <= MOST_ITEMS:
        return items
    shown, rest = items[: MOST_ITEMS - 1], items[MOST_ITEMS - 1 :]
    parts: dict[str, float] = defaultdict(float)
    for item in rest:
        for name, amount in item["parts"].items():
            parts[name] += amount
    amount = sum(item["amount"] for item in rest)
    others = {"kind": "others", "name": f"{len(rest)} others", "amount": amount, "parts": parts}
    return [*shown, others]


def comparison_json(query: Mapping[str, str]) -> dict[str, Any]:
    """Return what a load costs in a month here and always on; NotPossible for a wrong question."""
    unknown = query.keys() - _ASKED.keys()
    if unknown:
        raise NotPossible(
            f"there is no {min(unknown)[:_MOST_CHARACTERS]!r} here: ask for {', '.join(_ASKED)}"
        )
    asked = {name: query.get(name, usual)[:_MOST_CHARACTERS] for name, usual in _ASKED.items()}
    try:
        load = Load.of(
            asked["requests"],
            asked["milliseconds"],
            asked["memoryMib"],
            asked["vcpus"],
            asked["ready"],
        )
        table = named_table(asked["prices"])
        return compare(load, table, named_server(asked["alwaysOn"], table)).to_json()
    except (BadUsage, BadPrices, UnknownPrices) as error:
        raise NotPossible(str(error)) from error
