"""The controller as it runs, with Kopf, over an API server that misbehaves."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.controller_rig import (
    CHILDREN,
    NAMESPACE,
    DiscoverableApi,
    Replica,
    function,
    running,
    serving,
)
from tests.support.fake_api import Refusal, WatchFault
from tests.support.platform_rig import until
from torpor.controller import KopfEnded
from torpor.controller.replica import LEASE_NAME
from torpor.resources.names import FunctionKey
from torpor.resources.run import RunRequest, RunState
from torpor.telemetry import metrics

COUNT = 50
PATIENCE = 20.0
WATCHES = 14
"""A leader's: of Functions, Workflows, Triggers, pods, ConfigMaps, gateways, each kind of child,
runs and their pods; and Kopf's three."""
STANDBY_WATCHES = 8


def all_ready(fake: DiscoverableApi, count: int = COUNT) -> bool:
    return list(fake.ready().values()).count("AtZero") == count


async def quiet(fake: DiscoverableApi, seconds: float = 3.0) -> int:
    """Return how many objects were written while nothing happened."""
    before = fake.object_writes()
    await asyncio.sleep(seconds)
    return fake.object_writes() - before


async def test_fifty_functions_become_ready_and_then_nothing_is_written() -> None:
    async with serving() as fake:
        for number in range(COUNT):
            fake.put("functions", function(f"f{number}"))
        async with running(fake):
            await until(lambda: all_ready(fake), PATIENCE)
            for plural in CHILDREN:
                assert len(fake.all(plural)) == COUNT
            # NetworkPolicy, Service, Deployment, status.
            assert await quiet(fake) == 0
            assert fake.object_writes() == COUNT * 4


async def test_a_restart_finds_everything_as_it_was_and_writes_nothing() -> None:
    async with serving() as fake:
        for number in range(COUNT):
            fake.put("functions", function(f"f{number}"))
        async with running(fake):
            await until(lambda: all_ready(fake), PATIENCE)
        before = fake.object_writes()
        async with running(fake, "controller-b") as replica:
            await until(lambda: leads(replica), PATIENCE)
            assert await quiet(fake) == 0
        assert fake.object_writes() == before


async def test_functions_that_came_and_went_while_watches_were_blind() -> None:
    async with serving() as fake:
        fake.put("functions", function("stays"))
        fake.put("functions", function("goes"))
        async with running(fake):
            await until(lambda: all_ready(fake, 2), PATIENCE)
            fake.fail_watches(*[WatchFault.GONE_STATUS] * 4)
            fake.break_watches(WatchFault.GONE_EVENT)
            fake.remove("functions", "shop", "goes")
            fake.put("functions", function("comes"))
            fake.compact()
            await until(lambda: set(fake.ready()) == {"stays", "comes"}, PATIENCE)
            await asyncio.sleep(1.0)
            fake.collect_orphans()
            assert await quiet(fake) == 0
            for plural in CHILDREN:
                assert {obj["metadata"]["name"] for obj in fake.all(plural)} == {"stays", "comes"}


async def test_an_api_that_refuses_for_a_while_delays_and_loses_nothing() -> None:
    async with serving() as fake, running(fake) as replica:
        await until(lambda: leads(replica), PATIENCE)
        fake.refuse("PATCH", Refusal(503), times=5)
        fake.refuse("PATCH", Refusal(429, retry_after=1), times=2)
        fake.refuse("PATCH", Refusal(500, applied=True), times=3)
        for number in range(5):
            fake.put("functions", function(f"f{number}"))
        await until(lambda: all_ready(fake, 5), PATIENCE)
        await asyncio.sleep(2.5)  # beyond the time that a write is trusted before the watch
        assert await quiet(fake, 1.0) == 0


async def test_what_the_api_refuses_is_told_and_heals_by_itself() -> None:
    async with serving() as fake, running(fake) as replica:
        await until(lambda: leads(replica), PATIENCE)
        fake.refuse("PATCH", Refusal(422, message="spec.template: Invalid value"), times=1)
        fake.put("functions", function("wrong"))
        await until(lambda: fake.ready() == {"wrong": "Refused"}, PATIENCE)
        await until(lambda: fake.ready() == {"wrong": "AtZero"}, PATIENCE)


async def test_a_config_map_that_comes_late_is_noticed() -> None:
    code = {"runtime": "python3", "handler": "main.handler", "code": {"configMap": "code"}}
    async with serving() as fake:
        fake.put("functions", function("coded", **code))
        async with running(fake):
            await until(lambda: fake.ready() == {"coded": "ConfigMapMissing"}, PATIENCE)
            fake.put(
                "configmaps",
                {"kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "code"}},
            )
            await until(lambda: fake.ready() == {"coded": "AtZero"}, PATIENCE)


async def test_a_standby_writes_nothing_and_takes_over() -> None:
    async with serving() as fake, running(fake, "controller-a") as first:
        await until(lambda: leads(first), PATIENCE)
        async with running(fake, "controller-b") as second:
            fake.put("functions", function("one"))
            await until(lambda: all_ready(fake, 1), PATIENCE)
            assert not leads(second)
            await first.stop()
            fake.put("functions", function("two"))
            await until(lambda: all_ready(fake, 2), PATIENCE)
            assert leads(second)


async def test_only_the_leader_runs_kopf() -> None:
    async with serving() as fake, running(fake, "controller-a") as first:
        await until(lambda: leads(first) and fake.watching() == WATCHES, PATIENCE)
        async with running(fake, "controller-b") as second:
            # Functions, pods, ConfigMaps, gateways, each kind of child, Jobs of runs.
            await until(lambda: fake.watching() == WATCHES + STANDBY_WATCHES, PATIENCE)
            await asyncio.sleep(1.0)  # in which a Kopf would have begun to watch
            assert fake.watching() == WATCHES + STANDBY_WATCHES
            await first.stop()
            await until(lambda: leads(second) and fake.watching() == WATCHES, PATIENCE)


async def test_each_kind_is_watched_once_and_functions_by_kopf_too() -> None:
    async with serving() as fake:
        fake.put("functions", function("one"))
        async with running(fake) as replica:
            await until(lambda: leads(replica) and all_ready(fake, 1), PATIENCE)
            await until(lambda: fake.watching() == WATCHES, PATIENCE)
            watched = {plural: fake.requests["WATCH", plural] for plural in ("functions", "pods")}
            assert watched == {"functions": 2, "pods": 3}, "those of gateways and of runs besides"
            await asyncio.sleep(1.5)  # beyond the autoscaler's first pass
            assert fake.watching() == WATCHES


async def test_a_job_functions_runs_are_counted_in_its_status() -> None:
    async with serving() as fake, running(fake) as replica:
        fake.put("functions", function("encode", image="registry/app:1", workload="Job"))
        await until(lambda: fake.ready() == {"encode": "TakesRuns"}, PATIENCE)
        assert fake.all("deployments") == []
        assert replica.controller is not None
        asked = RunRequest(FunctionKey("shop", "encode"), "{}", "order-7")
        run = await replica.controller.keeper.start(asked)
        assert await replica.controller.keeper.start(asked) == run
        await until(lambda: runs_told(fake) == {**NONE, "active": 1, "last": run}, PATIENCE)
        [job] = fake.all("jobs")
        condition = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01"}
        fake.put("jobs", {**job, "status": {"conditions": [condition]}})
        await until(lambda: runs_told(fake) == {**NONE, "succeeded": 1, "last": run}, PATIENCE)
        found = await replica.controller.keeper.find("shop", run, 10)
        assert found.state is RunState.SUCCEEDED


NONE = {"active": 0, "succeeded": 0, "failed": 0}


def runs_told(fake: DiscoverableApi) -> object:
    """What the status of the only Function says of its runs."""
    [found] = fake.all("functions")
    return (found.get("status") or {}).get("runs")


async def test_a_watch_that_hears_nothing_any_more_fails_the_health_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torpor.controller.replica.SILENT_SECONDS", 1.0)
    async with serving() as fake, running(fake) as replica:
        await until(lambda: fake.watching() == WATCHES, PATIENCE)
        assert replica.controller is not None
        silent = replica.controller.checks()[0]["watches"]
        assert silent() is None
        fake.break_watches(WatchFault.STALL)
        kinds = (*CHILDREN, "functions", "pods", "gateway pods")
        await until(lambda: all(kind in (silent() or "") for kind in kinds), PATIENCE)


async def test_when_kopf_breaks_the_process_ends_with_an_error() -> None:
    async with serving() as fake, running(fake) as replica:
        await until(lambda: leads(replica), PATIENCE)
        await until(lambda: fake.watching() >= WATCHES, PATIENCE)
        # The fault reaches our reflectors too: they list again, Kopf gives up.
        fake.break_watches(WatchFault.ERROR_EVENT)
        error = await replica.ended()
        assert isinstance(error, ExceptionGroup)
        assert error.subgroup(KopfEnded) is not None


async def test_a_leader_that_loses_its_lease_stands_by_and_leads_again() -> None:
    async with serving() as fake, running(fake) as replica:
        await until(lambda: leads(replica) and fake.watching() == WATCHES, PATIENCE)
        fake.put("functions", function("one"))
        await until(lambda: all_ready(fake, 1), PATIENCE)
        one = {"namespace": "shop", "function": "one"}
        for gauge in (metrics.DESIRED_REPLICAS, metrics.RUNS_ACTIVE, metrics.RUN_PROGRESS):
            gauge.labels(**one).set(3)
        for gauge in (metrics.GATEWAYS_SILENT, metrics.QUEUE_DEPTH):
            gauge.set(3)
        metrics.POD_SECONDS.labels(**one, phase="idle").inc(7)
        metrics.POD_SIZE.labels(**one, resource="vcpus").set(2)
        hold(fake, "somebody else")
        await until(lambda: not leads(replica), PATIENCE)
        assert scraped("torpor_leader") == 0
        for name in ("function_desired_replicas", "run_active", "run_progress_ratio"):
            assert scraped(f"torpor_{name}", **one) is None
        assert (
            scraped("torpor_autoscaler_silent_gateways") == scraped("torpor_workqueue_depth") == 0
        )
        assert scraped("torpor_function_pod_seconds_total", **one, phase="idle") == 7
        assert scraped("torpor_function_pod_size", **one, resource="vcpus") == 2
        fake.put("functions", function("two"))
        assert await quiet(fake, 1.0) == 0, "a standby writes nothing"
        fake.remove("functions", "shop", "one")
        await until(
            lambda: scraped("torpor_function_pod_seconds_total", **one, phase="idle") is None,
            PATIENCE,
        )
        assert scraped("torpor_function_pod_size", **one, resource="vcpus") is None
        hold(fake, "")
        await until(lambda: leads(replica) and all_ready(fake, 1), PATIENCE)
        await until(lambda: fake.watching() == WATCHES, PATIENCE)
        fake.put("functions", function("three"))
        await until(lambda: all_ready(fake, 2), PATIENCE)


async def test_an_api_that_is_away_for_long_costs_the_lease_and_not_the_process() -> None:
    async with serving() as fake, running(fake) as replica:
        await until(lambda: leads(replica) and fake.watching() == WATCHES, PATIENCE)
        await fake.stop()
        await until(lambda: not leads(replica), PATIENCE)
        await fake.start()
        fake.put("functions", function("one"))
        await until(lambda: leads(replica) and all_ready(fake, 1), PATIENCE)


async def test_a_user_without_a_name_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr("getpass.getuser", nameless)
    async with serving() as fake, running(fake) as replica:
        await until(lambda: fake.watching() >= WATCHES and leads(replica), PATIENCE)


@pytest.mark.parametrize("plural", CHILDREN)
async def test_a_child_that_somebody_deletes_comes_back(plural: str) -> None:
    async with serving() as fake:
        fake.put("functions", function("one"))
        async with running(fake):
            await until(lambda: all_ready(fake, 1), PATIENCE)
            fake.remove(plural, "shop", "one")
            await until(lambda: len(fake.all(plural)) == 1, PATIENCE)


def hold(fake: DiscoverableApi, holder: str) -> None:
    """Write another holder into the Lease, as one does who has seen no renewal for its time."""
    lease = fake.find("leases", NAMESPACE, LEASE_NAME)
    assert lease is not None
    meta, spec = dict(lease["metadata"]), {**lease["spec"], "holderIdentity": holder}
    fake.put("leases", {**lease, "metadata": meta, "spec": spec})


def scraped(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, labels)


def leads(replica: Replica) -> bool:
    return replica.controller is not None and replica.controller.leads()
