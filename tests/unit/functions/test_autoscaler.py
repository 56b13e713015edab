"""The autoscaler against a toy cluster, in virtual time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.scaling_cluster import (
    ToyGateway,
    ToyGateways,
    ToyPlatform,
    Workload,
    function,
)
from tests.support.scaling_time import loop_time, run_virtual
from torpor.errors import ApiError, ApiGone, ApiUnavailable
from torpor.functions.autoscaler import Autoscaler
from torpor.functions.decisions import OTHERS
from torpor.platform.base import Change, Synced, Trouble
from torpor.resources.load import PARK_SECONDS, ColdStart, FunctionLoad, GatewayLoad, ParkAnswer
from torpor.resources.names import MANAGER_AUTOSCALER, FunctionKey
from torpor.scaling.values import Direction
from torpor.telemetry.metrics import REGISTRY

EPOCH = 1_775_000_000.0
"""The wall clock at loop time 0."""


@dataclass
class World:
    platform: ToyPlatform
    gateways: ToyGateways
    scaler: Autoscaler
    changed: list[FunctionKey]
    lags: dict[FunctionKey, dict[str, float]]
    task: asyncio.Task[None] | None = None

    def gateway(self, number: int = 0) -> ToyGateway:
        return self.gateways.gateways[number]

    def scales(self, key: FunctionKey) -> list[int]:
        return [write.replicas for write in self.platform.writes if write.key == key]

    async def start(self) -> None:
        self.task = asyncio.create_task(self.scaler.run(), name="autoscaler")

    async def stop(self) -> None:
        assert self.task
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        assert self.task.cancelled()


@asynccontextmanager
async def world(gateways: int = 1, start_seconds: float = 1.0) -> AsyncIterator[World]:
    platform = ToyPlatform(start_seconds)
    all_gateways = ToyGateways(*(ToyGateway(f"g{n}", platform) for n in range(gateways)))
    changed: list[FunctionKey] = []
    lags: dict[FunctionKey, dict[str, float]] = {}
    scaler = Autoscaler(
        platform,
        all_gateways,
        changed=changed.append,
        lags=lambda: lags,
        clock=loop_time,
        wall=lambda: EPOCH + loop_time(),
    )
    made = World(platform, all_gateways, scaler, changed, lags)
    await made.start()
    yield made
    await made.stop()
    assert len(asyncio.all_tasks()) == 1, "a task outlived the autoscaler"


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test in virtual time."""

    def wrapped(**given: Any) -> None:
        run_virtual(_main(test, given))

    wrapped.__name__ = test.__name__
    return wrapped


async def _main(test: Callable[..., Awaitable[None]], given: dict[str, Any]) -> None:
    await test(**given)


async def seconds(count: float) -> None:
    await asyncio.sleep(count)


@virtual
async def test_a_step_of_load_and_back_to_zero() -> None:
    async with world() as here:
        key = here.platform.add(function(idleSeconds=30))
        await seconds(61)
        trace: list[int] = []
        for demand, ticks in [(0, 3), (200, 60), (0, 45)]:
            here.gateway().set(key, demand)
            for _ in range(ticks):
                await seconds(1)
                trace.append(here.platform.replicas(key))
        print("replicas a second:", trace)
        reached = trace.index(4) - 2
        assert reached <= 2, "200 in flight at 50 a pod need 4 pods within two seconds"
        assert max(trace) == 4
        assert trace[-1] == 0
        assert here.scales(key) == [4, 2, 1, 0]
        assert here.gateways.parks[0][1] == key
        assert here.gateway().settled == [(key, True)]
        view = here.scaler.view(key)
        assert view
        assert (view.replicas, view.decision.direction) == (0, Direction.ZERO)
        assert view.decision.reason.startswith("idle 3")
        assert [(it.before, it.after) for it in view.changes] == [(1, 4), (4, 2), (2, 1), (1, 0)]
        assert view.changes[-1].reason == view.decision.reason
        assert view.changes[0].at < view.changes[-1].at
        assert {write.manager for write in here.platform.writes} == {MANAGER_AUTOSCALER}


@virtual
async def test_a_wake_is_looked_at_before_the_next_second() -> None:
    async with world() as here:
        spec: dict[str, Any] = {"concurrency": {"target": 1, "limit": 1}, "maxReplicas": 10}
        key = here.platform.add(function(**spec))
        await seconds(2.4)
        here.gateway().set(key, 100)
        await seconds(0.3)
        assert here.platform.replicas(key) == 10


@virtual
async def test_a_constant_load_writes_nothing() -> None:
    async with world() as here:
        key = here.platform.add(function())
        here.gateway().set(key, 90)
        await seconds(10)
        writes, told = len(here.platform.writes), len(here.changed)
        await seconds(120)
        assert len(here.platform.writes) == writes
        assert len(here.changed) == told
        assert here.platform.replicas(key) == 2


@virtual
async def test_functions_at_zero_cost_no_call() -> None:
    async with world() as here:
        for number in range(50):
            here.platform.add(function(f"f{number}"))
        await seconds(60)
        assert here.platform.reads == 0
        assert here.platform.writes == []


@virtual
async def test_min_replicas_are_raised_without_load() -> None:
    async with world() as here:
        key = here.platform.add(function(minReplicas=2))
        await seconds(200)
        assert here.scales(key) == [2]


@virtual
async def test_a_provisioned_window_opens_and_closes() -> None:
    window = {"replicas": 3, "schedule": "*/30 * * * *", "durationSeconds": 300}
    async with world() as here:
        key = here.platform.add(function(provisioned=[window], idleSeconds=5))
        phases = []
        for _ in range(1800):
            await seconds(1)
            phases.append(here.platform.replicas(key))
        assert set(phases) == {0, 1, 2, 3}  # down by half a second
        assert abs(phases.count(3) - 300) <= 2


@virtual
async def test_a_provisioned_window_opens_by_the_clocks_of_its_zone() -> None:
    window = {"replicas": 3, "schedule": "0 2 * * *", "timeZone": "Europe/Rome"}
    async with world() as here:
        key = here.platform.add(function(provisioned=[window]))
        two_in_rome = datetime(2026, 4, 1, 0, 0, tzinfo=UTC).timestamp()
        await seconds(two_in_rome - (EPOCH + loop_time()) - 5)
        assert here.platform.replicas(key) == 0
        await seconds(10)
        assert here.platform.replicas(key) == 3


@virtual
async def test_a_provisioned_window_that_cannot_be_read_is_told_and_the_rest_goes_on() -> None:
    wrong = {"replicas": 5, "schedule": "at noon", "durationSeconds": 300}
    always = {"replicas": 3, "schedule": "* * * * *", "durationSeconds": 300}
    async with world() as here:
        both = here.platform.add(function("both", provisioned=[wrong, always]))
        key = here.platform.add(function(provisioned=[wrong]))
        here.gateway().set(key, 70)
        await seconds(5)
        assert here.platform.replicas(both) == 3
        view = here.scaler.view(key)
        assert view
        assert "spec.scaling.provisioned[0].schedule" in view.problem
        assert here.platform.replicas(key) == 2


@virtual
async def test_never_zero_while_a_request_runs_for_five_minutes() -> None:
    async with world() as here:
        key = here.platform.add(function(idleSeconds=5))
        here.gateway().set(key, 1)
        await seconds(300)
        assert here.platform.writes == []
        here.gateway().set(key, 0)
        await seconds(10)
        assert here.scales(key) == [0]


@virtual
async def test_requests_found_while_parking_abort_and_settle() -> None:
    async with world() as here:
        key = here.platform.add(function(idleSeconds=5))
        here.gateway().set(key, 1)
        await seconds(61)
        here.gateway().set(key, 0)

        async def park(_: FunctionKey) -> list[ParkAnswer]:
            return [ParkAnswer(0, 0, 1)]

        here.gateways.park = park  # type: ignore[method-assign, assignment]
        await seconds(7)
        assert here.gateway().settled == [(key, False)]
        assert here.platform.writes == []
        await seconds(2)
        assert len(here.gateway().settled) == 1, "the idle time begins anew"


@virtual
async def test_a_gateway_that_does_not_acknowledge_prevents_zero() -> None:
    async with world(gateways=2) as here:
        key = here.platform.add(function(idleSeconds=5))
        here.gateway().set(key, 1)
        await seconds(61)
        here.gateway().set(key, 0)
        here.gateway(1).silent = True
        await seconds(29)
        assert here.gateways.parks == [], "it was alive a moment ago: not even tried"
        await seconds(120)
        assert here.platform.writes == []
        assert {scaled for _, scaled in here.gateway().settled} == {False}
        assert 3 <= len(here.gateways.parks) <= 8, "tried again, ever less often"
        here.gateway(1).silent = False
        await seconds(31)
        assert here.platform.replicas(key) == 0


@virtual
async def test_a_wake_between_park_and_scale_wins() -> None:
    async with world() as here:
        key = here.platform.add(function(idleSeconds=5))
        here.gateway().set(key, 1)
        await seconds(61)
        here.gateway().set(key, 0)

        async def somebody_scales(_: FunctionKey) -> None:
            here.platform.before_write = None
            here.platform.force(key, 3)

        here.platform.before_write = somebody_scales
        await seconds(8)
        assert here.gateway().settled == [(key, False)]
        assert here.platform.replicas(key) == 3


@virtual
async def test_a_scale_call_slower_than_the_parking_is_given_up() -> None:
    async with world() as here:
        key = here.platform.add(function(idleSeconds=5))
        here.gateway().set(key, 1)
        await seconds(61)
        here.gateway().set(key, 0)
        began: list[float] = []

        async def slow(_: FunctionKey) -> None:
            began.append(loop_time())
            await asyncio.sleep(60)

        here.platform.before_write = slow
        while not here.gateway().settled:
            await seconds(0.1)
        assert loop_time() - began[0] < PARK_SECONDS
        assert here.gateway().settled == [(key, False)]
        view = here.scaler.view(key)
        await seconds(1)
        view = here.scaler.view(key)
        assert view
        assert "took too long" in view.problem


@virtual
async def test_a_change_of_the_scale_by_somebody_else_is_told_as_theirs() -> None:
    async with world() as here:
        key = here.platform.add(function(idleSeconds=30))
        here.gateway().set(key, 1)
        await seconds(5)
        here.platform.force(key, 3)
        await seconds(40)
        view = here.scaler.view(key)
        assert view
        told = [(it.before, it.after) for it in view.changes if it.reason == OTHERS]
        assert told == [(1, 3)]


@virtual
async def test_a_scale_call_that_failed_but_was_done_settles_as_done() -> None:
    async with world() as here:
        key = here.platform.add(function(idleSeconds=5))
        here.gateway().set(key, 1)
        await seconds(61)
        here.gateway().set(key, 0)

        async def done_but_lost(_: FunctionKey) -> None:
            here.platform.before_write = None
            here.platform.force(key, 0)
            raise ApiUnavailable(0, "Disconnected", "no answer")

        here.platform.before_write = done_but_lost
        await seconds(8)
        assert here.gateway().settled == [(key, True)]


@virtual
async def test_stopping_while_parked_settles() -> None:
    async with world() as here:
        key = here.platform.add(function(idleSeconds=5))
        here.gateway().set(key, 1)
        await seconds(61)
        here.gateway().set(key, 0)

        async def slow(_: FunctionKey) -> None:
            await asyncio.sleep(60)

        here.platform.before_write = slow
        while not here.gateways.parks:
            await seconds(0.1)
        await here.stop()
        assert here.gateway().settled == [(key, False)]
        assert here.gateway().parked == set()


@virtual
async def test_shrinking_takes_the_idlest_instances_and_is_conditional() -> None:
    async with world() as here:
        key = here.platform.add(function(windowSeconds=6), replicas=2)
        await seconds(2)
        names = list(here.platform.workloads[key].pods)
        load = FunctionLoad(in_flight=9, concurrency_seconds=0, instances={names[0]: 9})
        here.gateway().present[key] = load
        await seconds(10)
        assert here.platform.removal[key] == {names[0]: 9, names[1]: 0}
        assert list(here.platform.workloads[key].pods) == [names[0]]
        assert here.platform.writes[-1].version is not None


@virtual
async def test_another_leader_shrinks_nothing_for_a_window() -> None:
    async with world() as here:
        key = here.platform.add(function(idleSeconds=5), replicas=4)
        await seconds(30)
        await here.stop()
        await here.start()
        await seconds(59)
        assert here.platform.replicas(key) == 4
        await seconds(8)
        assert here.platform.replicas(key) == 0


@virtual
async def test_no_gateway_answers_and_nothing_shrinks() -> None:
    async with world() as here:
        key = here.platform.add(function(idleSeconds=5), replicas=4)
        here.gateway().silent = True
        await seconds(200)
        assert here.platform.writes == []
        view = here.scaler.view(key)
        assert view
        assert view.replicas == 4


@virtual
async def test_a_scale_from_outside_is_a_reason_to_stay_awake() -> None:
    async with world() as here:
        key = here.platform.add(function(idleSeconds=20))
        await seconds(100)
        here.platform.force(key, 1)
        await seconds(19)
        assert here.platform.replicas(key) == 1
        await seconds(5)
        assert here.platform.replicas(key) == 0


@virtual
async def test_initial_replicas_stay_for_the_idle_time() -> None:
    async with world() as here:
        await seconds(100)
        key = here.platform.add(function(idleSeconds=20), replicas=3)
        await seconds(20)
        assert here.platform.replicas(key) == 3
        await seconds(5)
        assert here.scales(key) == [2, 1, 0]


@virtual
async def test_paused_is_left_alone_until_it_is_not() -> None:
    async with world() as here:
        key = here.platform.add(function(paused=True), replicas=5)
        here.gateway().set(key, 900)
        await seconds(100)
        assert here.platform.writes == []
        here.platform.add(function(), replicas=5)
        await seconds(3)
        assert here.platform.replicas(key) == 18


@virtual
async def test_a_start_that_fails_goes_back_to_zero_with_its_reason() -> None:
    async with world(start_seconds=float("inf")) as here:
        here.platform.trouble = Trouble("ImagePullBackOff", "no such image", final=False)
        key = here.platform.add(function(idleSeconds=10, startupTimeoutSeconds=20))
        await seconds(61)
        here.gateway().set(key, 1)
        await seconds(40)
        assert here.platform.replicas(key) == 1, "a request is held"
        here.gateway().set(key, 0)
        await seconds(15)
        assert here.scales(key) == [0]
        view = here.scaler.view(key)
        assert view
        assert "did not start: ImagePullBackOff: no such image" in view.decision.reason
        await seconds(60)
        assert here.scales(key) == [0]


@virtual
async def test_a_slow_start_is_not_idle_before_its_time_is_up() -> None:
    async with world(start_seconds=50) as here:
        key = here.platform.add(function(idleSeconds=5, startupTimeoutSeconds=60))
        await seconds(61)
        here.platform.force(key, 1)
        await seconds(53)
        assert here.platform.replicas(key) == 1
        await seconds(5)
        assert here.platform.replicas(key) == 0


@virtual
async def test_one_that_is_never_ready_is_late_until_it_serves_or_gets_another_spec() -> None:
    async with world(start_seconds=float("inf")) as here:
        made = function(minReplicas=1, startupTimeoutSeconds=20)
        key = here.platform.add(made, replicas=1)
        await seconds(15)
        view = here.scaler.view(key)
        assert view
        assert not view.late
        here.changed.clear()
        await seconds(10)
        view = here.scaler.view(key)
        assert view
        assert view.late
        assert here.changed == [key], "its status is to be written"
        here.platform.add(replace(made, generation=made.generation + 1), replicas=1)
        await seconds(2)
        view = here.scaler.view(key)
        assert view
        assert not view.late


@virtual
async def test_instances_with_websockets_are_kept_and_the_others_go() -> None:
    async with world() as here:
        key = here.platform.add(function(idleSeconds=30), replicas=6)
        held = list(here.platform.workloads[key].pods)[:3]

        async def keep_open(count: int, since: int, until: int) -> None:
            for second in range(since, until):
                at = dict.fromkeys(held[:count], 1)
                load = FunctionLoad(count, 0, 0, 3.0 * second, 3, at)
                here.gateway().present[key] = load
                await seconds(1)

        await keep_open(3, 0, 300)
        assert here.scales(key) == [3]
        assert set(here.platform.workloads[key].pods) == set(held)
        await keep_open(1, 300, 400)
        assert list(here.platform.workloads[key].pods) == held[:1]


@virtual
async def test_what_is_no_longer_understood_goes_to_zero_by_its_last_terms() -> None:
    async with world() as here:
        key = here.platform.add(function(idleSeconds=100), replicas=2)
        await seconds(61)
        here.platform.refuse(function(idleSeconds=5))
        await seconds(30)
        assert here.platform.replicas(key) > 0
        await seconds(120)
        assert here.platform.replicas(key) == 0


@virtual
async def test_what_was_never_understood_leaves_no_instances_for_ever() -> None:
    async with world() as here:
        await seconds(1)
        made = function(idleSeconds=5)
        here.platform.workloads[made.key] = Workload()
        here.platform.force(made.key, 2)
        here.platform.refuse(made)
        await seconds(90)
        assert here.platform.replicas(made.key) == 0


@virtual
async def test_an_api_error_of_one_function_leaves_the_others_alone_and_backs_off() -> None:
    async with world() as here:
        bad = here.platform.add(function("bad"))
        good = here.platform.add(function("good"))
        tries: list[float] = []

        async def refuse(key: FunctionKey) -> None:
            if key == bad:
                tries.append(loop_time())
                raise ApiError(403, "Forbidden", "not yours")

        here.platform.before_write = refuse
        here.gateway().set(bad, 200)
        here.gateway().set(good, 200)
        await seconds(60)
        assert here.platform.replicas(good) == 4
        assert 4 <= len(tries) <= 8
        view = here.scaler.view(bad)
        assert view
        assert "403" in view.problem
        here.platform.before_write = None
        await seconds(31)
        assert here.platform.replicas(bad) == 4
        view = here.scaler.view(bad)
        assert view
        assert view.problem == ""


@virtual
async def test_a_defect_in_one_function_leaves_the_others_alone() -> None:
    async with world() as here:
        bad, good = here.platform.add(function("bad")), here.platform.add(function("good"))

        async def broken(key: FunctionKey) -> None:
            if key == bad:
                raise ZeroDivisionError

        here.platform.before_read = broken
        here.gateway().set(bad, 200)
        here.gateway().set(good, 200)
        await seconds(5)
        assert here.platform.replicas(good) == 4


@virtual
async def test_a_slow_api_delays_neither_passes_nor_more_than_its_share() -> None:
    async with world() as here:
        running: list[int] = [0]
        most: list[int] = [0]

        async def slow(_: FunctionKey) -> None:
            running[0] += 1
            most[0] = max(most[0], running[0])
            await asyncio.sleep(4)
            running[0] -= 1

        here.platform.before_read = slow
        keys = [here.platform.add(function(f"f{number}", minReplicas=1)) for number in range(40)]
        await seconds(20)
        assert here.gateways.pulls >= 20
        assert most[0] == 16
        assert [here.platform.replicas(key) for key in keys] == [1] * 40


@virtual
async def test_a_function_without_a_workload_is_waited_for() -> None:
    async with world() as here:
        made = function(minReplicas=1)
        here.platform.add(made)
        del here.platform.workloads[made.key]
        await seconds(20)
        view = here.scaler.view(made.key)
        assert view
        assert view.problem == "its workload does not exist yet"
        assert here.platform.reads <= 6
        here.platform.add(made)
        await seconds(31)
        assert here.platform.replicas(made.key) == 1


def cold(key: FunctionKey, sequence: int, total: float) -> ColdStart:
    return ColdStart(key, sequence, {"decide": 10.0, "start": total - 10}, total)


@virtual
async def test_cold_starts_are_counted_once_and_dropped_with_the_function() -> None:
    async with world() as here:
        key = here.platform.add(function())
        gateway = here.gateway()
        gateway.cold_starts = tuple(cold(key, n, 100.0 * (n + 1)) for n in range(10))
        await seconds(5)
        gateway.cold_starts = (*gateway.cold_starts[5:], cold(key, 10, 5000.0))
        await seconds(5)
        found = here.scaler.cold_starts(key)
        assert found
        assert found.count == 11
        assert found.last == {"decide": 10, "start": 4990, "total": 5000}
        assert (found.p50["total"], found.p95["total"]) == (600, 5000)
        gateway.boot, gateway.cold_starts = "2", (cold(key, 0, 50.0),)
        await seconds(2)
        found = here.scaler.cold_starts(key)
        assert found
        assert (found.count, found.last["total"]) == (12, 50)
        here.platform.delete(key)
        await seconds(2)
        assert here.scaler.cold_starts(key) is None
        assert here.scaler.view(key) is None


@virtual
async def test_a_deleted_function_is_left_alone() -> None:
    async with world() as here:
        key = here.platform.add(function(), replicas=2)
        await seconds(3)
        here.platform.delete(key)
        writes = len(here.platform.writes)
        await seconds(100)
        assert len(here.platform.writes) == writes


@virtual
async def test_a_function_deleted_while_it_is_scaled_leaves_nothing_behind() -> None:
    async with world() as here:
        key = here.platform.add(function("deleted"), replicas=1)
        await seconds(3)

        async def deleted_meanwhile(_: FunctionKey) -> None:
            here.platform.before_write = None
            here.platform.delete(key)
            await asyncio.sleep(0.1)
            here.platform.workloads[key] = Workload(1)

        here.platform.before_write = deleted_meanwhile
        here.gateway().set(key, 200)
        await seconds(5)
        assert len(here.scales(key)) == 1
        assert here.scaler.view(key) is None
        labels = {"namespace": "ns", "function": "deleted"}
        assert REGISTRY.get_sample_value("torpor_function_desired_replicas", labels) is None


@virtual
async def test_lag_wakes_and_keeps_awake() -> None:
    async with world() as here:
        key = here.platform.add(function(idleSeconds=5))
        await seconds(61)
        here.lags[key] = {"orders": 2.5}
        await seconds(20)
        assert here.platform.replicas(key) == 3
        here.lags.clear()
        await seconds(4)
        assert here.platform.replicas(key) == 3
        await seconds(7)
        assert here.platform.replicas(key) == 0


@virtual
async def test_other_windows_are_watched_in_full_before_anything_shrinks() -> None:
    async with world() as here:
        here.platform.add(function(), replicas=4)
        await seconds(30)
        key = here.platform.add(function(windowSeconds=30), replicas=4)
        here.gateway().set(key, 1)
        await seconds(29)
        assert here.platform.replicas(key) == 4
        await seconds(35)
        assert here.platform.replicas(key) == 1


@virtual
async def test_a_watch_that_breaks_is_begun_again() -> None:
    async with world() as here:
        key = here.platform.add(function())
        await seconds(3)
        whole, broken = here.platform.changes, asyncio.Event()

        async def breaks() -> AsyncIterator[Change]:
            broken.set()
            raise ApiGone(410, "Expired", "too old")
            yield Synced()

        await here.stop()
        here.platform.changes = breaks  # type: ignore[method-assign]
        await here.start()
        await seconds(5)
        assert broken.is_set()
        here.platform.changes = whole  # type: ignore[method-assign]
        here.gateway().set(key, 200)
        await seconds(4)
        assert here.platform.replicas(key) == 4


@virtual
async def test_a_pull_that_hangs_or_fails_does_not_stop_the_loop() -> None:
    async with world() as here:
        key = here.platform.add(function(), replicas=1)
        await seconds(2)
        healthy = here.gateways.loads

        async def hang() -> tuple[list[GatewayLoad], int]:
            await asyncio.sleep(3600)
            raise AssertionError

        here.gateways.loads = hang  # type: ignore[method-assign]
        await seconds(10)
        here.gateways.loads = healthy  # type: ignore[method-assign]
        here.gateway().set(key, 200)
        await seconds(8)
        assert here.platform.replicas(key) == 4


@virtual
async def test_the_status_is_told_when_readiness_changes() -> None:
    async with world(start_seconds=3) as here:
        key = here.platform.add(function())
        here.gateway().set(key, 1)
        await seconds(2)
        view = here.scaler.view(key)
        assert view
        assert (view.replicas, view.ready, view.starting, view.present) == (1, 0, 1, 1)
        told = here.changed.count(key)
        await seconds(3)
        view = here.scaler.view(key)
        assert view
        assert (view.ready, view.starting) == (1, 0)
        assert here.changed.count(key) > told
        assert view.last_active_at == pytest.approx(EPOCH + loop_time(), abs=1.1)


@pytest.mark.parametrize("asleep", [1000, 10_000])
def test_what_a_pass_costs(asleep: int) -> None:
    """Functions at zero cost a pass nothing: the bound is far above what 100 awake ones take."""

    async def measure() -> float:
        async with world(gateways=2) as here:
            for number in range(asleep):
                here.platform.add(function(f"zero{number}"))
            for number in range(100):
                key = here.platform.add(function(f"awake{number}"), replicas=1)
                here.gateway(number % 2).set(key, 20)
            await seconds(5)
            began, pulls = time.process_time(), here.gateways.pulls
            await seconds(50)
            return (time.process_time() - began) / (here.gateways.pulls - pulls)

    cost = run_virtual(measure())
    print(f"{asleep} at zero, 100 awake: {cost * 1000:.2f} ms CPU a pass, gateways included")
    assert cost < 0.05
