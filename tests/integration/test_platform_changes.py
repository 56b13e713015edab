"""KubernetesPlatform, the gateways' list, the secret key and Events, over a real socket."""

from __future__ import annotations

import asyncio
import gc
import logging
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.fake_api import Refusal, WatchFault
from tests.support.platform_rig import client_of, deployment, function, pod, serving, until
from torpor.errors import ApiConflict, ApiNotFound
from torpor.platform.base import (
    Change,
    FunctionChanged,
    FunctionRefused,
    InstancesChanged,
    Platform,
    Synced,
)
from torpor.platform.kubernetes import (
    EventType,
    GatewayPod,
    GatewayPods,
    KubernetesApi,
    KubernetesPlatform,
    Recorder,
    SharedPlatform,
    ensure_key,
    wait_for_key,
    watch_gateway_pods,
)
from torpor.platform.kubernetes.resources import FUNCTIONS
from torpor.platform.kubernetes.watched import Watched, run
from torpor.resources.names import FunctionKey

HELLO = FunctionKey("shop", "hello")


async def told_until_synced(changes: AsyncGenerator[Change]) -> list[Change]:
    told: list[Change] = []
    async with asyncio.timeout(5):
        async for change in changes:
            told.append(change)
            if isinstance(change, Synced):
                return told
    raise AssertionError("the changes ended")


async def following(changes: AsyncGenerator[Change]) -> Change:
    async with asyncio.timeout(5):
        return await anext(changes)


def names(change: Change) -> set[str]:
    assert isinstance(change, InstancesChanged)
    return {instance.name for instance in change.instances}


def check_protocol(api: KubernetesApi) -> Platform:
    return KubernetesPlatform(api)


async def test_all_that_exists_is_told_then_synced_then_what_changes() -> None:
    async with serving() as (fake, api):
        fake.put("functions", function("hello"))
        fake.put("functions", function("broken", runtime="python3"))
        for name in ("p1", "p2"):
            fake.put("pods", pod(name))
        stray = pod("stray")
        del stray["metadata"]["labels"]
        fake.put("pods", stray)
        async with aclosing(KubernetesPlatform(api).changes()) as changes:
            told = await told_until_synced(changes)
            functions = [item for item in told if isinstance(item, FunctionChanged)]
            assert {item.key for item in functions if item.function} == {HELLO}
            assert [names(item) for item in told if isinstance(item, InstancesChanged)][-1] == {
                "p1",
                "p2",
            }
            assert told[-1] == Synced()
            fake.remove("pods", "shop", "p1")
            assert names(await following(changes)) == {"p2"}
            fake.remove("pods", "shop", "p2")
            assert names(await following(changes)) == set()
            fake.remove("functions", "shop", "hello")
            assert await following(changes) == FunctionChanged(HELLO, None)


async def test_a_function_that_stops_being_understood_is_told_as_refused_not_as_gone() -> None:
    async with serving() as (fake, api):
        fake.put("functions", function())
        async with aclosing(KubernetesPlatform(api).changes()) as changes:
            await told_until_synced(changes)
            fake.put("functions", function(port=-1))
            told = await following(changes)
            assert isinstance(told, FunctionRefused)
            assert (told.key, told.instead.key) == (HELLO, HELLO)
            fake.remove("functions", "shop", "hello")
            assert await following(changes) == FunctionChanged(HELLO, None)


async def test_pods_that_left_during_a_gap_are_told() -> None:
    async with serving() as (fake, api):
        fake.put("pods", pod("p1"))
        async with aclosing(KubernetesPlatform(api, "shop").changes()) as changes:
            await told_until_synced(changes)
            fake.fail_watches(WatchFault.GONE_STATUS, WatchFault.GONE_STATUS)
            fake.break_watches(WatchFault.CUT)
            fake.remove("pods", "shop", "p1")
            fake.compact()
            assert names(await following(changes)) == set()


async def test_phases_are_remembered_but_not_of_another_pod_of_that_name() -> None:
    async with serving() as (fake, api):
        fake.put("pods", pod("p1"))
        ticks = iter(range(100))
        platform = KubernetesPlatform(api, clock=lambda: float(next(ticks)))
        async with aclosing(platform.changes()) as changes:
            first = (await told_until_synced(changes))[0]
            assert isinstance(first, InstancesChanged)
            created = first.instances[0].seen["created"]
            fake.put("pods", pod("p1", podIP="10.0.0.1"))
            second = await following(changes)
            assert isinstance(second, InstancesChanged)
            assert second.instances[0].seen["created"] == created
            other = pod("p1", podIP="10.0.0.2")
            other["metadata"]["uid"] = "another"
            fake.put("pods", other)
            third = await following(changes)
            assert isinstance(third, InstancesChanged)
            assert third.instances[0].seen["created"] > created


async def test_many_changes_at_once_are_merged() -> None:
    async with serving() as (fake, api), aclosing(KubernetesPlatform(api).changes()) as changes:
        await told_until_synced(changes)
        for number in range(300):
            fake.put("pods", pod(f"p{number}"))
        told = 0
        while len(names(await following(changes))) < 300:
            told += 1
        assert told < 150


async def test_scale_of_a_function_is_its_deployments() -> None:
    async with serving() as (fake, api):
        platform = KubernetesPlatform(api)
        with pytest.raises(ApiNotFound):
            await platform.scale(HELLO)
        fake.put("deployments", deployment(replicas=0))
        asleep = await platform.scale(HELLO)
        await platform.set_scale(HELLO, 1, manager="torpor-gateway", version=asleep.version)
        with pytest.raises(ApiConflict):
            await platform.set_scale(HELLO, 9, manager="torpor-gateway", version=asleep.version)
        assert (await platform.scale(HELLO)).replicas == 1


async def test_the_least_loaded_pods_are_removed_first_and_nothing_is_written_twice() -> None:
    async with serving() as (fake, api):
        for name in ("p1", "p2", "p3"):
            fake.put("pods", pod(name))
        platform = KubernetesPlatform(api)
        async with aclosing(platform.changes()) as changes:
            await told_until_synced(changes)
            load = {"p1": 4, "p2": 0, "p3": 7, "gone": 2}
            await platform.prefer_removal(HELLO, load)
            annotation = "controller.kubernetes.io/pod-deletion-cost"
            costs = {
                item["metadata"]["name"]: item["metadata"].get("annotations", {}).get(annotation)
                for item in fake.all("pods")
            }
            assert costs == {"p1": "4", "p2": None, "p3": "7"}
            with pytest.raises(TimeoutError):
                # A changed cost is no news of the instances.
                async with asyncio.timeout(0.4):
                    await anext(changes)
            await platform.prefer_removal(HELLO, load)
            assert fake.writes() == 2


def gateway(name: str, address: str | None, *, ready: bool = True, **meta: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "torpor", "app.kubernetes.io/component": "gateway"}
    status: dict[str, Any] = {"podIP": address} if address else {}
    status["conditions"] = [{"type": "Ready", "status": str(ready)}]
    return {
        "metadata": {"namespace": "torpor", "name": name, "labels": labels, **meta},
        "status": status,
    }


def restarted(pod: dict[str, Any], restarts: int) -> dict[str, Any]:
    status = {**pod["status"], "containerStatuses": [{"name": "x", "restartCount": restarts}]}
    return {**pod, "status": status}


LEAVING = {"deletionTimestamp": "2026-11-21T12:00:00Z"}
GRACE_ENDS = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


async def test_peers_are_the_gateways_that_take_requests() -> None:
    async with serving() as (fake, api):
        fake.put("pods", gateway("g1", "10.0.0.1"))
        fake.put("pods", gateway("g2", None))
        fake.put("pods", pod("p1"))
        async with aclosing(watch_gateway_pods(api, "torpor")) as told, asyncio.timeout(5):
            assert await anext(told) == {"g1": "10.0.0.1"}
            fake.put("pods", gateway("g2", "10.0.0.2"))
            assert await anext(told) == {"g1": "10.0.0.1", "g2": "10.0.0.2"}
            fake.put("pods", gateway("g1", "10.0.0.1", ready=False, **LEAVING))
            assert await anext(told) == {"g2": "10.0.0.2"}


async def test_a_gateway_that_never_becomes_ready_is_no_peer() -> None:
    async with serving() as (fake, api):
        fake.put("pods", gateway("g1", "10.0.0.1"))
        fake.put("pods", gateway("new", "10.0.0.9", ready=False))
        async with aclosing(watch_gateway_pods(api, "torpor")) as told, asyncio.timeout(5):
            assert await anext(told) == {"g1": "10.0.0.1"}
            for restarts in (1, 2):
                fake.put("pods", restarted(gateway("new", "10.0.0.9", ready=False), restarts))
            # One that served and is not ready for a while has requests inside.
            fake.put("pods", gateway("g1", "10.0.0.1", ready=False))
            fake.put("pods", gateway("new", "10.0.0.9"))
            assert await anext(told) == {"g1": "10.0.0.1", "new": "10.0.0.9"}
            # One whose container begins anew has nothing inside until it is ready again.
            fake.put("pods", restarted(gateway("g1", "10.0.0.1", ready=False), 1))
            assert await anext(told) == {"new": "10.0.0.9"}
            fake.put("pods", restarted(gateway("g1", "10.0.0.1"), 1))
            assert await anext(told) == {"g1": "10.0.0.1", "new": "10.0.0.9"}


async def test_whether_a_gateway_was_ever_ready_is_known_to_who_asks_it() -> None:
    async with serving() as (fake, api), asyncio.TaskGroup() as group:
        fake.put("pods", gateway("g1", "10.0.0.1", ready=False))
        pods = GatewayPods(api, "torpor")
        running = group.create_task(pods.reflector.run())
        await until(lambda: pods.at(GRACE_ENDS) == {"g1": GatewayPod("10.0.0.1", None, True)})
        fake.put("pods", gateway("g1", "10.0.0.1"))
        await until(lambda: pods.at(GRACE_ENDS) == {"g1": GatewayPod("10.0.0.1")})
        fake.put("pods", gateway("g1", "10.0.0.1", ready=False))
        fake.put("pods", gateway("g2", "10.0.0.2"))
        await until(lambda: "g2" in pods.at(GRACE_ENDS))
        assert pods.at(GRACE_ENDS)["g1"] == GatewayPod("10.0.0.1")
        running.cancel()


async def test_a_gateway_that_drains_is_asked_until_it_is_gone() -> None:
    async with serving() as (fake, api), asyncio.TaskGroup() as group:
        fake.put("pods", gateway("g1", "10.0.0.1"))
        fake.put("pods", gateway("g2", "10.0.0.2"))
        pods = GatewayPods(api, "torpor")
        running = group.create_task(pods.reflector.run())
        await until(lambda: set(pods.at(GRACE_ENDS)) == {"g1", "g2"})
        fake.put("pods", gateway("g1", "10.0.0.1", ready=False, **LEAVING))
        draining = GatewayPod("10.0.0.1", GRACE_ENDS)
        await until(lambda: pods.at(GRACE_ENDS).get("g1") == draining)
        assert set(pods.at(GRACE_ENDS - timedelta(seconds=60))) == {"g1", "g2"}
        fake.remove("pods", "torpor", "g1")
        await until(lambda: set(pods.at(GRACE_ENDS)) == {"g2"})
        running.cancel()


async def test_a_gateway_on_a_lost_node_counts_no_longer_than_it_can_live() -> None:
    async with serving() as (fake, api), asyncio.TaskGroup() as group:
        fake.put("pods", gateway("g1", "10.0.0.1", ready=False, **LEAVING))
        pods = GatewayPods(api, "torpor")
        running = group.create_task(pods.reflector.run())
        await until(lambda: "g1" in pods.at(GRACE_ENDS))
        assert "g1" in pods.at(GRACE_ENDS + timedelta(seconds=29))
        assert "g1" not in pods.at(GRACE_ENDS + timedelta(seconds=30))
        running.cancel()


async def test_one_watch_serves_several_and_tells_each_all_that_exists() -> None:
    async with serving() as (fake, api), asyncio.TaskGroup() as group:
        fake.put("functions", function("hello"))
        fake.put("pods", pod("p1"))
        watched = Watched(api, "")
        running = group.create_task(run(watched.reflectors))
        for _ in range(2):
            async with aclosing(SharedPlatform(api, watched).changes()) as changes:
                told = await told_until_synced(changes)
                assert [type(item) for item in told] == [FunctionChanged, InstancesChanged, Synced]
                fake.put("pods", pod("p2"))
                assert names(await following(changes)) == {"p1", "p2"}
                fake.remove("pods", "shop", "p2")
                assert names(await following(changes)) == {"p1"}
        assert fake.requests["WATCH", "functions"] == fake.requests["WATCH", "pods"] == 1
        running.cancel()


async def test_many_functions_asleep_take_little_memory() -> None:
    count = 200
    conditions = [
        {
            "type": name,
            "status": "False",
            "reason": "AtZero",
            "message": "asleep; a request wakes it",
            "lastTransitionTime": "2026-11-21T00:00:00Z",
        }
        for name in ("Ready", "Active", "Reconciling", "Stalled")
    ]
    async with serving() as (fake, api):
        for number in range(count):
            obj = function(f"f{number}", env=[{"name": f"N{n}", "value": "v"} for n in range(20)])
            fake.put("functions", {**obj, "status": {"conditions": conditions}})
        watched = Watched(api, "")
        gc.collect()
        tracemalloc.start()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(run(watched.reflectors), name="watch")
            await watched.synced()
            gc.collect()
            kept_bytes, _ = tracemalloc.get_traced_memory()
            watching.cancel()
        tracemalloc.stop()
        found = watched.function(FunctionKey("shop", "f7"))
        assert found is not None
        assert len(found.env) == 20
        assert kept_bytes / count < 3000  # as dicts 9,000


async def test_controllers_that_start_together_agree_on_one_key() -> None:
    async with serving() as (fake, first), client_of(fake) as second:
        waiting = asyncio.create_task(wait_for_key(first, "torpor", timeout_seconds=5))
        keys = await asyncio.gather(*(ensure_key(api, "torpor") for api in (first, second) * 3))
        assert len({*keys, await waiting}) == 1
        assert len(keys[0]) == 32
        assert len(fake.all("secrets")) == 1


async def test_waiting_for_a_key_that_nobody_makes_ends() -> None:
    async with serving() as (_, api):
        with pytest.raises(TimeoutError):
            await wait_for_key(api, "torpor", timeout_seconds=0.5)


async def test_repeated_events_are_counted_and_floods_are_cut() -> None:
    async with serving() as (fake, api):
        fake.put("functions", function())
        obj = await api.get(FUNCTIONS, "shop", "hello")
        recorder = Recorder(api, "controller", "pod-1", clock=lambda: 0.0)
        for _ in range(3):
            await recorder.record(obj, EventType.WARNING, "Stuck", "no image", action="Reconcile")
        (event,) = fake.all("events")
        assert event["series"]["count"] == 3
        assert event["regarding"]["uid"] == obj["metadata"]["uid"]
        assert (event["type"], event["reason"], event["note"]) == ("Warning", "Stuck", "no image")
        for number in range(100):
            await recorder.record(obj, EventType.NORMAL, "Noise", str(number), action="Reconcile")
        assert fake.writes() == 25


async def test_an_event_that_cannot_be_written_fails_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as (fake, api):
        fake.put("functions", function())
        obj = await api.get(FUNCTIONS, "shop", "hello")
        fake.refuse("POST", Refusal(403))
        recorder = Recorder(api, "controller", "pod-1")
        await recorder.record(obj, EventType.NORMAL, "Applied", "all well", action="Reconcile")
        assert not fake.all("events")
        assert [item.levelname for item in caplog.records] == ["WARNING"]


async def test_an_event_that_goes_with_its_namespace_is_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as (fake, api):
        fake.put("functions", function())
        obj = await api.get(FUNCTIONS, "shop", "hello")
        fake.refuse("POST", Refusal(403, cause="NamespaceTerminating"))
        recorder = Recorder(api, "controller", "pod-1")
        await recorder.record(obj, EventType.NORMAL, "Applied", "all well", action="Reconcile")
        assert not fake.all("events")
        assert [item for item in caplog.records if item.levelno >= logging.WARNING] == []
