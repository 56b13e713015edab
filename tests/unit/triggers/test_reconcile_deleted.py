"""What is told of a Trigger that was deleted, whatever came between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from torpor.errors import ApiNotFound
from torpor.platform.kubernetes.recorder import EventType
from torpor.platform.kubernetes.resources import Resource
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Trigger
from torpor.triggers.reconcile import TriggerReconciler
from torpor.triggers.standings import EventsAway, Standing, TargetFacts, Wanted

ORDERS = FunctionKey("shop", "orders")
LOST = "7 events that waited for it are dropped"
OBJECT = {
    "apiVersion": "torpor.dev/v1alpha1",
    "kind": "Trigger",
    "metadata": {"namespace": "shop", "name": "orders", "uid": "u1", "generation": 1},
    "spec": {"source": {"bus": {"name": "b"}}, "target": {"function": {"name": "f"}}},
}


@dataclass
class Cluster:
    """An API server, an events role and a book of Events, of one Trigger."""

    there: bool = True
    away: bool = False
    puts: int = 0
    events: list[tuple[str, str]] = field(default_factory=list)

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        if not self.there:
            raise ApiNotFound(404, "NotFound", f"{resource.plural} {namespace}/{name}")
        return OBJECT

    async def apply_status(
        self, resource: Resource, body: dict[str, Any], *, manager: str
    ) -> dict[str, Any]:
        del resource, manager
        return body

    async def put(self, key: FunctionKey, wanted: Wanted) -> Standing:
        self.puts += 1
        return Standing(key, wanted.object["metadata"]["uid"], 1, subscribed=True)

    async def delete(self, key: FunctionKey) -> str:
        if self.away:
            raise EventsAway(f"nobody has {key}")
        return LOST

    async def record(
        self, obj: Mapping[str, Any], kind: EventType, reason: str, note: str, *, action: str
    ) -> None:
        del kind, action
        if reason == "EventsDropped":
            self.events.append((obj["metadata"]["uid"], note))

    def facts(self, trigger: Trigger) -> TargetFacts:
        del trigger
        return TargetFacts(exists=True)

    def before(self, key: FunctionKey) -> None:
        del key


def reconciler(cluster: Cluster) -> TriggerReconciler:
    return TriggerReconciler(cluster, cluster, cluster, cluster, wall=lambda: datetime.now(UTC))


async def test_a_survey_that_began_before_the_trigger_was_put_does_not_hide_what_is_lost() -> None:
    cluster = Cluster()
    subject = reconciler(cluster)
    await subject.reconcile(ORDERS)
    assert subject.surveyed([]) == [ORDERS]
    cluster.there = False
    await subject.reconcile(ORDERS)
    assert cluster.events == [("u1", LOST)]


async def test_a_trigger_that_the_role_does_not_have_is_put_again_once() -> None:
    cluster = Cluster()
    subject = reconciler(cluster)
    for _ in range(2):
        await subject.reconcile(ORDERS)
    assert cluster.puts == 1
    subject.surveyed([])
    for _ in range(2):
        await subject.reconcile(ORDERS)
    assert cluster.puts == 2
    assert subject.surveyed([Standing(ORDERS, "u1", 1, subscribed=True)]) == []


async def test_what_is_lost_is_told_though_the_role_was_away_at_first() -> None:
    cluster = Cluster()
    subject = reconciler(cluster)
    await subject.reconcile(ORDERS)
    cluster.there, cluster.away = False, True
    with pytest.raises(EventsAway):
        await subject.reconcile(ORDERS)
    cluster.away = False
    await subject.reconcile(ORDERS)
    assert cluster.events == [("u1", LOST)]
