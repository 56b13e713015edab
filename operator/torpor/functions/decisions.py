"""How a function's replicas changed of late, and why, as its status tells it. Pure.

Each change of replicas is a write of the status anyway; its history travels with that write and
causes none of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from torpor.resources.conditions import timestamp

KEPT = 5
"""Changes of a function that are told."""
OTHERS = "asked for by a gateway for requests that wait, or by hand"
"""The reason of a change that the autoscaler did not make; the scale does not say whose it was."""
_MOST_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class Rescaled:
    """One change of the replicas asked for; `at` is in seconds since 1970."""

    at: float
    before: int
    after: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return its form in the status."""
        return {
            "time": timestamp(datetime.fromtimestamp(self.at, UTC)),
            "from": self.before,
            "to": self.after,
            "reason": self.reason[:_MOST_CHARACTERS],
        }


def appended(changes: tuple[Rescaled, ...], latest: Rescaled) -> tuple[Rescaled, ...]:
    """Return the changes with the latest one, without those that are told no longer."""
    return (*changes, latest)[-KEPT:]


def told(
    previous: Sequence[Mapping[str, Any]], changes: Sequence[Rescaled]
) -> list[Mapping[str, Any]]:
    """Return what a status tells after `previous`: another leader may have written that."""
    found = [change.to_json() for change in changes]
    earlier = [item for item in previous if item not in found]
    return sorted([*earlier, *found], key=lambda item: str(item["time"]))[-KEPT:]
