"""The bill: what each Function and Workflow cost, divided by what it was for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from torpor.telemetry.cost.rates import Parts, PriceTable, pod_parts
from torpor.telemetry.cost.usage import Usage, Work
from torpor.telemetry.cost.values import ZERO, rounded, to_number


class Kind(StrEnum):
    """What an item of a bill is for."""

    FUNCTION = "function"
    RUNS = "runs"
    WORKFLOW = "workflow"
    VARIANT = "variant"


@dataclass(frozen=True, slots=True)
class Item:
    """What one thing cost; `parts` are money by what it was for."""

    kind: Kind
    name: str
    parts: Mapping[str, Decimal]

    @property
    def amount(self) -> Decimal:
        """The sum of the parts."""
        return sum(self.parts.values(), ZERO)

    def to_json(self) -> dict[str, Any]:
        """Return the item as ADR 8 has it."""
        parts = {str(name): to_number(value) for name, value in self.parts.items()}
        told = {"kind": self.kind.value, "name": self.name, "amount": to_number(self.amount)}
        return {**told, "parts": parts}


@dataclass(frozen=True, slots=True)
class Bill:
    """Items, the dearest first."""

    items: tuple[Item, ...]

    @property
    def total(self) -> Decimal:
        """The sum of the items."""
        return sum((item.amount for item in self.items), ZERO)


def bill(usage: Usage, table: PriceTable) -> Bill:
    """Return what the usage costs; what the table has no price for costs nothing."""
    items = [
        Item(Kind.RUNS if work.is_runs else Kind.FUNCTION, name, _parts(work, table))
        for name, work in usage.functions.items()
    ]
    items += [
        Item(Kind.WORKFLOW, name, table.workflows.parts(steps) if table.workflows else {})
        for name, steps in usage.workflows.items()
    ]
    items = [replace(item, parts=_rounded(item.parts)) for item in items]
    return Bill(tuple(sorted(items, key=lambda item: (-item.amount, item.kind, item.name))))


def _rounded(parts: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
    return {name: rounded(value) for name, value in parts.items()}


def _parts(work: Work, table: PriceTable) -> Parts:
    if table.requests and not work.is_runs:
        return table.requests.parts(work)
    return pod_parts(table.pods, work) if table.pods else {}
