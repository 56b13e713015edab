"""Watched objects, through everything that an API server does to a watch."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.fake_api import FakeApi, Refusal, WatchFault
from tests.support.platform_rig import serving, until
from tests.support.source_rig import (
    KeptPositions,
    Reader,
    content_of,
    data_of,
    reading,
    trigger,
    world,
)
from torpor.platform.kubernetes import KubernetesApi
from torpor.triggers.base import SourceAway, SourceMisconfigured
from torpor.triggers.event import Event
from torpor.triggers.sources.kubernetes import open_source

CONFIG_MAPS = {"apiVersion": "v1", "kind": "ConfigMap"}
Told = list[tuple[str, str | None]]


@dataclass
class Rig:
    """An API server, and positions that outlive a source."""

    fake: FakeApi
    api: KubernetesApi
    positions: KeptPositions = field(default_factory=KeptPositions)

    def put(self, name: str, value: str = "", namespace: str = "shop", **meta: Any) -> None:
        metadata = {"name": name, "namespace": namespace, **meta}
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        self.fake.put("configmaps", {**obj, "data": {"value": value}})

    def remove(self, name: str) -> None:
        self.fake.remove("configmaps", "shop", name)

    @contextlib.asynccontextmanager
    async def read(self, **settings: Any) -> AsyncIterator[Reader]:
        around = world(positions=self.positions, api=self.api)
        of = trigger({"kubernetes": {**CONFIG_MAPS, **settings}})
        async with reading(open_source, of, around) as reader:
            yield reader

    async def watched(self) -> None:
        await until(lambda: self.fake.watching() == 1)


@contextlib.asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    async with serving() as (fake, api):
        yield Rig(fake, api)


def told(events: list[Event]) -> Told:
    return [(event.type.rpartition(".")[2], event.subject) for event in events]


async def test_what_becomes_of_objects_is_told_in_order() -> None:
    async with rig() as at:
        at.put("there-before")
        async with at.read() as reader:
            at.put("a", "1")
            at.put("other", namespace="elsewhere")
            at.put("a", "2")
            at.remove("a")
            events = await reader.take(3)
            assert told(events) == [("added", "a"), ("modified", "a"), ("deleted", "a")]
            added, modified, deleted = events
            assert added.source == "/api/v1/namespaces/shop/configmaps"
            assert data_of(added)["data"] == {"value": "1"}
            assert (data_of(added)["apiVersion"], data_of(added)["kind"]) == ("v1", "ConfigMap")
            assert "managedFields" not in data_of(added)["metadata"]
            assert added.id.endswith(data_of(added)["metadata"]["resourceVersion"])
            assert data_of(deleted)["data"] == data_of(modified)["data"] == {"value": "2"}
            assert deleted.id == f"{modified.id}-deleted"


async def test_what_happened_while_nobody_watched_is_told_once() -> None:
    async with rig() as at:
        for name in ("kept", "changed", "gone", "made-anew"):
            at.put(name)
        async with at.read() as reader:
            at.put("late")
            (held,) = await reader.hold(1)
        for name in ("gone", "made-anew"):
            at.remove(name)
        for name in ("changed", "made-anew", "new"):
            at.put(name, "2")
        async with at.read() as reader:
            events = await reader.take(6)
            assert sorted(told(events)) == [
                ("added", "late"),
                ("added", "made-anew"),
                ("added", "new"),
                ("deleted", "gone"),
                ("deleted", "made-anew"),
                ("modified", "changed"),
            ]
            (late,) = [event for event in events if event.subject == "late"]
            assert late.id == content_of(held).id
            (gone,) = [event for event in events if event.subject == "gone"]
            assert set(data_of(gone)["metadata"]) == {"name", "namespace", "uid"}
            assert await reader.quiet(0.3)


@pytest.mark.parametrize(
    "fault", [WatchFault.GONE_STATUS, WatchFault.GONE_EVENT, WatchFault.CUT, WatchFault.END]
)
async def test_a_watch_that_ends_loses_nothing(fault: WatchFault) -> None:
    async with rig() as at, at.read() as reader:
        await at.watched()
        at.put("a")
        await reader.take(1)
        if fault is WatchFault.GONE_STATUS:
            at.fake.fail_watches(fault)
            at.fake.break_watches(WatchFault.END)
        else:
            at.fake.break_watches(fault)
        at.put("b")
        at.put("c")
        assert sorted(told(await reader.take(2))) == [("added", "b"), ("added", "c")]
        assert await reader.quiet(0.3)


async def test_labels_and_events_choose() -> None:
    chosen = {"labelSelector": "team=blue", "events": ["added", "deleted"]}
    async with rig() as at, at.read(**chosen) as reader:
        at.put("red", labels={"team": "red"})
        at.put("blue", labels={"team": "blue"})
        at.put("blue", "2", labels={"team": "blue"})
        at.put("blue", labels={"team": "red"})
        at.put("sky", labels={"team": "blue"})
        assert told(await reader.take(3)) == [
            ("added", "blue"),
            ("deleted", "blue"),
            ("added", "sky"),
        ]


async def test_what_the_cluster_forbids_or_does_not_know_is_told() -> None:
    async with rig() as at:
        at.fake.refuse("LIST", Refusal(403))
        async with at.read() as reader:
            with pytest.raises(SourceMisconfigured, match=r"events\.kubernetesResources"):
                raise await reader.failure() or AssertionError
        async with at.read(kind="Unicorn") as reader:
            with pytest.raises(SourceMisconfigured, match="knows no objects of kind Unicorn"):
                raise await reader.failure() or AssertionError
        async with at.read(kind="Namespace") as reader:
            with pytest.raises(SourceMisconfigured, match="in no namespace"):
                raise await reader.failure() or AssertionError


async def test_an_error_of_the_server_is_not_the_users() -> None:
    async with rig() as at, at.read() as reader:
        await at.watched()
        at.fake.break_watches(WatchFault.ERROR_EVENT)
        with pytest.raises(SourceAway):
            raise await reader.failure() or AssertionError


async def test_a_server_that_is_away_is_told() -> None:
    async with rig() as at, at.read() as reader:
        await at.watched()
        await at.fake.stop()
        with pytest.raises(SourceAway):
            raise await reader.failure() or AssertionError


@pytest.mark.parametrize("text", ["apps", "../v1", "a/../v1", "apps/v1/deployments", "v1?x"])
def test_what_is_no_version_of_an_api_is_refused(text: str) -> None:
    of = trigger({"kubernetes": {**CONFIG_MAPS, "apiVersion": text}})
    with pytest.raises(SourceMisconfigured, match="such as v1 or apps/v1"):
        open_source(of, world(api=object()))


def test_without_a_cluster_it_is_refused() -> None:
    with pytest.raises(SourceMisconfigured, match="needs a cluster"):
        open_source(trigger({"kubernetes": CONFIG_MAPS}), world())
