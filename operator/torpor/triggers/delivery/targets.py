"""What takes events: one small interface, and which of its modules a Trigger's target means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torpor.invoke import Response
from torpor.resources import trigger
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import TargetKind, Trigger
from torpor.triggers.broker.objects import Objects
from torpor.triggers.broker.publishing import Publisher
from torpor.triggers.broker.streams import Streams
from torpor.triggers.delivery.attempts import Answer
from torpor.triggers.delivery.function_target import FunctionTarget
from torpor.triggers.delivery.piece import Piece
from torpor.triggers.delivery.publish_target import BusTarget, QueueTarget
from torpor.triggers.delivery.run_target import RunTarget
from torpor.triggers.delivery.workflow_target import StartsExecutions, WorkflowTarget
from torpor.triggers.queue_partitions import QueuePartitions
from torpor.triggers.standings import TargetFacts


class Target(Protocol):
    """Takes events. BrokerAway passes through; every other failure is in the answer."""

    async def send(self, piece: Piece, attempt: int, timeout_seconds: float) -> Answer:
        """Deliver one event, for the attempt of this number (from 1)."""
        ...

    async def send_batch(
        self, pieces: Sequence[Piece], attempt: int, timeout_seconds: float
    ) -> Answer:
        """Deliver several in one; the answer is for all of them unless its body names some."""
        ...


class Invokes(Protocol):
    """What invokes functions: `torpor.invoke.Invoker`."""

    async def invoke(
        self,
        key: FunctionKey,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_seconds: float,
    ) -> Response:
        """Return the answer to one request of the function."""
        ...


@dataclass(frozen=True, slots=True)
class TargetWorld:
    """What targets use. `engine` is None where no Workflows are run."""

    invoker: Invokes
    engine: StartsExecutions | None
    streams: Streams
    publisher: Publisher
    objects: Objects
    partitions: QueuePartitions


def open_target(
    owner: Trigger, target: trigger.Target, world: TargetWorld, facts: TargetFacts | None = None
) -> Target:
    """Return what delivers to a target of the Trigger: its own, its fallback, its last resort.

    `facts` are of the target, where they are known.
    """
    key = FunctionKey(owner.key.namespace, target.name)
    scope = owner.uid or str(owner.key)
    match target.kind:
        case TargetKind.FUNCTION if facts is not None and facts.is_job:
            return RunTarget(world.invoker, key)
        case TargetKind.FUNCTION:
            return FunctionTarget(world.invoker, key, target.method, target.path)
        case TargetKind.WORKFLOW:
            return WorkflowTarget(world.engine, key)
        case TargetKind.BUS:
            return BusTarget(world.streams, world.publisher, world.objects, key, scope)
        case TargetKind.QUEUE:
            return QueueTarget(
                world.streams, world.publisher, world.objects, key, scope, world.partitions
            )
