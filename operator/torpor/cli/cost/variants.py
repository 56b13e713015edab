"""`torpor cost --run`: what each variant of a transcode cost, by the record that the run kept."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from torpor.cli import output
from torpor.cli.cost import texts
from torpor.cli.gatewayreach import NoGateway
from torpor.cli.run import look
from torpor.errors import TorporError
from torpor.telemetry.cost import Item, Kind, Phase
from torpor.telemetry.cost.values import ZERO, NotANumber, amount

_PHASES = {
    "useful": Phase.USEFUL,
    "finishing": Phase.USEFUL,
    "startup": Phase.START,
    "idle": Phase.IDLE,
    "redone": Phase.REDONE,
}
"""What the parts of a transcode's record are in a bill; the plan's end is work as well."""


class NoRecord(TorporError):
    """The run kept no record of what its variants cost."""

    code = "no-record"


async def variants(args: argparse.Namespace) -> int:
    """Print the cost of each variant, and that of the whole run."""
    if args.dashboard and not args.gateway:
        raise NoGateway(
            f"a run's record is asked of a gateway, and {args.dashboard} is a dashboard: export "
            "TORPOR_GATEWAY, as torpor dev prints it, too; for a run of the cluster unset "
            "TORPOR_DASHBOARD"
        )
    args.name = args.run
    run = (await look.details_of(args)).run
    name = f"{run.key.namespace}/{run.id}"
    items, whole = _read(name, run.result)
    told = {
        "run": whole.name,
        "podSeconds": run.pod_seconds,
        "now": float(whole.amount),
        "items": [item.to_json() for item in (*items, whole)],
    }
    output.print_item(args.output, told, run.id, lambda: texts.of_run(items, whole, run))
    return 0


def _read(name: str, record: Any) -> tuple[list[Item], Item]:
    """Return what each variant cost, and the run: a result may be anything that a program left."""
    try:
        items = [_variant(each) for each in record["variants"]]
        whole = _whole(name, record["cost"])
    except (LookupError, TypeError, AttributeError, NotANumber) as error:
        raise _no_record(name) from error
    if not items:
        raise _no_record(name)
    return items, whole


def _no_record(name: str) -> NoRecord:
    return NoRecord(
        f"{name} has no record of variants: only a transcode that succeeded has one. What its pods "
        "cost: torpor run show --pod-hour PRICE"
    )


def _variant(record: Mapping[str, Any]) -> Item:
    cost, seconds = amount(record["cost"]), amount(record["seconds"])
    redone = amount(record.get("redoneSeconds", 0)) / seconds * cost if seconds else ZERO
    parts: dict[str, Decimal] = {Phase.USEFUL: cost - redone, Phase.REDONE: redone}
    return Item(Kind.VARIANT, str(record["name"]), parts)


def _whole(name: str, cost: Mapping[str, Any]) -> Item:
    parts: dict[str, Decimal] = {phase.value: ZERO for phase in Phase}
    for part, phase in _PHASES.items():
        parts[phase] += amount(cost.get(part, {}).get("cost", 0))
    return Item(Kind.RUNS, name, parts)
