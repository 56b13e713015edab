"""What the leader itself saw of a Function, for its status: scaling, cold starts, runs."""

from __future__ import annotations

from torpor.functions.autoscaler import Autoscaler
from torpor.functions.runs.counts import counts_of
from torpor.functions.runs.watching import RunWatch
from torpor.functions.status import Seen
from torpor.resources.names import FunctionKey
from torpor.scaling.values import Direction


def seen(autoscaler: Autoscaler, runs: RunWatch, key: FunctionKey) -> Seen:
    """Return it; without a reason where the autoscaler leaves the replicas as they are."""
    view = autoscaler.view(key)
    moved = view is not None and view.decision.direction is not Direction.STAY
    reason = view.decision.reason if view and moved else None
    cold_starts, counts = autoscaler.cold_starts(key), counts_of(runs.of(key))
    if view is None:
        return Seen(None, cold_starts, runs=counts)
    return Seen(reason, cold_starts, view.changes, view.late, counts)
