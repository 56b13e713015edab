"""The functions of a session at one moment, as people are shown them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torpor.functions.autoscaler import Autoscaler
from torpor.gateway.activator import Activator
from torpor.gateway.gate import State
from torpor.platform.base import Instance
from torpor.resources.load import ColdStart, FunctionLoad
from torpor.resources.names import FunctionKey


@dataclass(frozen=True, slots=True)
class Row:
    """One function at one moment, for people. `cold_start` is its latest, if it had one.

    `wanted` replicas are what the autoscaler aims at; `failing` says that instances have trouble.
    """

    key: FunctionKey
    state: str
    replicas: int
    ready: int
    load: FunctionLoad
    reason: str
    cold_start: ColdStart | None
    wanted: int = 0
    failing: bool = False


@dataclass(frozen=True, slots=True)
class Watched:
    """Where a row is read from."""

    activator: Activator
    autoscaler: Autoscaler
    cold_starts: dict[int, ColdStart]
    """By sequence, the latest last."""

    def row(self, key: FunctionKey, load: FunctionLoad, instances: Sequence[Instance]) -> Row:
        """Return how a function is now."""
        gate, view = self.activator.gate(key), self.autoscaler.view(key)
        troubles = [item.trouble.reason for item in instances if item.trouble]
        reason = view.decision.reason if view else ""
        return Row(
            key=key,
            state=gate.state.value if gate else State.ASLEEP.value,
            replicas=len(instances),
            ready=sum(item.ready and not item.terminating for item in instances),
            load=load,
            reason=", ".join(dict.fromkeys(troubles)) or reason,
            cold_start=self._latest(key),
            wanted=view.decision.replicas if view else 0,
            failing=bool(troubles),
        )

    def _latest(self, key: FunctionKey) -> ColdStart | None:
        latest = reversed(self.cold_starts.values())
        return next((item for item in latest if item.function == key), None)
