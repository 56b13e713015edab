"""From asleep to served, and what is said when that does not come about. Virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.support.activator_rig import Rig, activator_rig, now
from tests.support.fake_platform import FakePlatform, function
from tests.support.virtual_time import run as run_virtual
from torpor.errors import ApiConflict, ApiUnavailable
from torpor.gateway.dataplane.base import Go, Refused
from torpor.gateway.gate import State
from torpor.resources.function import Function
from torpor.resources.names import MANAGER_GATEWAY, FunctionKey
from torpor.resources.stand_in import stand_in

IDENTITY = {"namespace": "shop", "name": "echo", "uid": "u1", "generation": 2}
UNAVAILABLE = ApiUnavailable(503, "ServiceUnavailable", "try later")


def asked_for(rig: Rig) -> list[int]:
    """Return the replicas that the gateway asked for, one by one."""
    return [item.replicas for item in rig.platform.written if item.manager == MANAGER_GATEWAY]


def code_of(verdict: Go | Refused) -> str:
    assert isinstance(verdict, Refused)
    return verdict.code


def test_a_request_for_no_function_is_refused() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            verdict = await rig.activator.hold(FunctionKey("shop", "nothing"))
            assert isinstance(verdict, Refused)
            assert (verdict.status, verdict.code) == (404, "unknown-function")

    run_virtual(main())


def test_the_first_request_wakes_and_is_told_how_long_it_took() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function())
            await rig.settled()
            began = now()
            first, second = rig.ask(key), rig.ask(key)
            verdicts = await asyncio.gather(first, second)
            assert now() - began < 0.6
            [cold_ms] = [v.cold_ms for v in verdicts if isinstance(v, Go) and v.cold_ms is not None]
            assert 500 <= cold_ms <= 560
            assert [(w.replicas, w.manager) for w in rig.platform.written] == [(1, MANAGER_GATEWAY)]
            assert rig.activator.gate(key).state is State.AWAKE  # type: ignore[union-attr]
            warm = await rig.ask(key)
            assert warm == Go(None)

    run_virtual(main())


def test_a_thousand_at_once_wake_it_once_and_go_in_arrival_order() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function())
            await rig.settled()
            order: list[int] = []

            async def one(number: int) -> None:
                assert isinstance(await rig.activator.hold(key), Go)
                order.append(number)

            async with asyncio.TaskGroup() as tasks:
                for number in range(1000):
                    tasks.create_task(one(number))
            assert order == list(range(1000))
            assert asked_for(rig) == [10]

    run_virtual(main())


@pytest.mark.parametrize(
    ("scaling", "asked"),
    [
        ({"concurrency": {"target": 1, "limit": 1}, "maxReplicas": 10}, [10]),
        ({"concurrency": {"target": 10, "limit": 30}}, [4]),
        ({"concurrency": {"target": 25, "limit": 0}}, [4]),
        ({"concurrency": {"target": 1, "limit": 1}, "maxScaleUpFactor": 3}, [3]),
        ({"concurrency": {"target": 1, "limit": 1}, "paused": True}, [1]),
    ],
    ids=["maxReplicas", "limit", "target", "maxScaleUpFactor", "paused"],
)
def test_a_crowd_wakes_as_many_as_it_needs(scaling: dict[str, object], asked: list[int]) -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function(scaling=scaling))
            await rig.settled()
            await asyncio.gather(*(rig.ask(key) for _ in range(100)))
            assert asked_for(rig) == asked

    run_virtual(main())


def test_a_wake_is_raised_while_its_crowd_still_comes_and_never_after() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            spec = {"concurrency": {"target": 1, "limit": 1}}
            key = platform.add(function(scaling=spec))
            await rig.settled()
            held = [rig.hold(key)]
            await asyncio.sleep(0.03)
            assert asked_for(rig) == [1], "the first call waits for nobody"
            held += [rig.hold(key) for _ in range(5)]
            await asyncio.sleep(0.1)
            assert asked_for(rig) == [1, 6]
            for task in held[3:]:
                task.cancel()
            await asyncio.sleep(2)
            assert asked_for(rig) == [1, 6], "a wake never lowers"
            held += [rig.hold(key) for _ in range(10)]
            await asyncio.sleep(5)
            assert asked_for(rig) == [1, 6], "who comes later is the autoscaler's business"
            platform.set_replicas(key, 0)
            await asyncio.sleep(5.1)
            assert asked_for(rig) == [1, 6, 13]

    run_virtual(main())


def test_a_wake_leaves_alone_what_somebody_else_scaled_up() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            key = platform.add(function(scaling={"concurrency": {"target": 1, "limit": 1}}))
            platform.set_replicas(key, 2)
            await rig.settled()
            held = [rig.hold(key) for _ in range(5)]
            await asyncio.sleep(3)
            assert not any(task.done() for task in held)
            assert asked_for(rig) == []

    run_virtual(main())


def test_phases_add_up_to_the_total() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function())
            await rig.settled()
            await rig.ask(key)
            [cold_start] = rig.activator.load().cold_starts
            assert cold_start.sequence == 1
            assert abs(sum(cold_start.phases.values()) - cold_start.total_ms) < 0.01
            assert cold_start.phases["decide"] == pytest.approx(20, abs=1)
            assert rig.activator.cold_start_quantiles_ms(key)["p50"] == cold_start.total_ms

    run_virtual(main())


def test_full_hold_is_refused_and_a_leaver_frees_its_place() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function(hold={"maxRequests": 2}))
            await rig.settled()
            held = [rig.hold(key), rig.hold(key)]
            await asyncio.sleep(0.001)
            refused = await rig.activator.hold(key)
            assert code_of(refused) == "hold-full"
            held[0].cancel()
            await asyncio.sleep(0.001)
            third = rig.hold(key)
            assert isinstance(await held[1], Go)
            assert isinstance(await third, Go)

    run_virtual(main())


def test_a_function_that_never_gets_an_instance_is_refused_at_the_deadline() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            key = platform.add(function(startupTimeoutSeconds=5, hold={"maxSeconds": 60}))
            await rig.settled()
            began = now()
            verdict = await rig.activator.hold(key)
            assert code_of(verdict) == "hold-timeout"
            assert "no instance of it exists" in verdict.detail  # type: ignore[union-attr]
            assert abs(now() - began - 5) < 0.01

    run_virtual(main())


@pytest.mark.parametrize(
    ("seen", "address", "told"),
    [
        ((), None, "instance echo-1 has no node"),
        (("scheduled",), None, "instance echo-1 has not started its container: its node still"),
        (("scheduled", "started"), None, "instance echo-1 has started, but has no address"),
        (("scheduled", "started"), "10.0.0.9", "nothing listens on port 8080 of instance echo-1"),
    ],
)
def test_the_deadline_tells_how_far_an_instance_came(
    seen: tuple[str, ...], address: str | None, told: str
) -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            key = platform.add(function(startupTimeoutSeconds=5))
            await rig.settled()
            held = rig.hold(key)
            await rig.settled()
            platform.put(platform.new(key, address=address, seen=dict.fromkeys(seen, now())))
            verdict = await held
            assert code_of(verdict) == "hold-timeout"
            assert f"was not ready within 5 s: {told}" in verdict.detail  # type: ignore[union-attr]

    run_virtual(main())


def test_the_deadline_tells_the_reason_of_the_trouble_of_the_instance() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            key = platform.add(function(startupTimeoutSeconds=5))
            await rig.settled()
            held = rig.hold(key)
            await rig.settled()
            platform.trouble(platform.new(key, address=None), "Unschedulable", final=False)
            verdict = await held
            assert code_of(verdict) == "cannot-start"
            assert verdict.detail == f"{key} cannot start: Unschedulable"  # type: ignore[union-attr]

    run_virtual(main())


def test_final_trouble_refuses_at_once_until_it_is_mended() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            key = platform.add(function())
            await rig.settled()
            began = now()
            held = [rig.hold(key) for _ in range(3)]
            await rig.settled()
            ill = platform.trouble(platform.new(key), "CrashLoopBackOff", final=True)
            verdicts = await asyncio.gather(*held)
            assert {code_of(verdict) for verdict in verdicts} == {"cannot-start"}
            assert now() - began < 0.2
            # While it stands: at once.
            again = await rig.activator.hold(key)
            assert code_of(again) == "cannot-start"
            assert again.retry_after_seconds == 5  # type: ignore[union-attr]
            # After Retry-After it is looked at again, and still the same.
            await asyncio.sleep(6)
            looked = now()
            assert code_of(await rig.activator.hold(key)) == "cannot-start"
            assert 0.5 < now() - looked < 1.5
            # Mended: the next request is served.
            platform.take(ill)
            mended = platform.new(key, ready=True)
            platform.put(mended)
            assert isinstance(await rig.ask(key), Go)

    run_virtual(main())


def test_pods_that_cannot_be_made_are_told_soon_and_tried_with_each_request() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            made = function()
            key = platform.add(made)
            await rig.settled()
            held = rig.hold(key)
            await asyncio.sleep(3)
            failed = {"type": "Ready", "status": "False", "reason": "FailedCreate"}
            forbidden = {**failed, "message": "quota", "observedGeneration": made.generation}
            platform.add(replace(made, status={"conditions": [forbidden]}))
            began = now()
            verdict = await held
            assert code_of(verdict) == "cannot-start"
            assert verdict.detail == f"{key} cannot start: FailedCreate"  # type: ignore[union-attr]
            assert now() - began < 0.5
            # Asleep again, another request has it tried before it is told the same.
            platform.set_replicas(key, 0)
            await asyncio.sleep(30)
            began = now()
            assert code_of(await rig.activator.hold(key)) == "cannot-start"
            assert 0.5 < now() - began < 1.5
            assert platform.replicas[key] == 1
            # Once it can be made, it is waited for.
            platform.set_replicas(key, 0)
            platform.starts_after_seconds = 5
            assert isinstance(await rig.ask(key), Go)

    run_virtual(main())


def test_a_function_that_is_no_longer_understood_serves_by_its_last_terms() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            made = function()
            key = rig.platform.add(made)
            await rig.settled()
            rig.platform.refuse(stand_in({"metadata": IDENTITY, "spec": {"port": -1}}))
            await rig.settled()
            assert isinstance(await rig.ask(key), Go)
            rig.platform.remove(key)
            await rig.settled()
            assert code_of(await rig.activator.hold(key)) == "unknown-function"

    run_virtual(main())


def test_a_function_that_was_never_understood_is_said_to_be_invalid() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            rig.platform.refuse(stand_in({"metadata": IDENTITY, "spec": {"port": -1}}))
            await rig.settled()
            verdict = await rig.activator.hold(function().key)
            assert code_of(verdict) == "cannot-start"
            assert "InvalidSpec" in verdict.detail  # type: ignore[union-attr]

    run_virtual(main())


def test_an_api_that_is_away_for_a_while_delays_but_does_not_fail() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function())
            await rig.settled()
            rig.platform.failures = [UNAVAILABLE] * 6
            began = now()
            assert isinstance(await rig.ask(key), Go)
            assert now() - began < 8

    run_virtual(main())


def test_an_api_that_stays_away_is_told_at_the_deadline() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function(hold={"maxSeconds": 10}))
            await rig.settled()
            rig.platform.failures = [UNAVAILABLE] * 1000
            began = now()
            assert code_of(await rig.activator.hold(key)) == "api-unavailable"
            assert abs(now() - began - 10) < 0.01

    run_virtual(main())


def test_a_conflict_is_read_again() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function())
            await rig.settled()
            rig.platform.failures = [ApiConflict(409, "Conflict", "changed")] * 3
            began = now()
            assert isinstance(await rig.ask(key), Go)
            assert now() - began < 0.75

    run_virtual(main())


def test_a_scale_to_zero_behind_our_back_is_noticed_within_a_second() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=2.5)
        async with activator_rig(platform) as rig:
            key = platform.add(function())
            await rig.settled()
            began = now()
            held = rig.ask(key)
            await asyncio.sleep(0.5)
            platform.set_replicas(key, 0)
            assert isinstance(await held, Go)
            assert now() - began < 4.5
            assert [item.replicas for item in platform.written] == [1, 1]

    run_virtual(main())


def test_a_long_start_is_asked_about_ever_less_often() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=60)
        async with activator_rig(platform) as rig:
            key = platform.add(function(startupTimeoutSeconds=90, hold={"maxSeconds": 90}))
            await rig.settled()
            assert isinstance(await rig.ask(key), Go)
            assert [item.replicas for item in platform.written] == [1]
            assert platform.reads <= 16

    run_virtual(main())


def test_a_function_without_a_workload_is_waited_for() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function(), workload=False)
            await rig.settled()
            held = rig.ask(key)
            await asyncio.sleep(2)
            rig.platform.add(function())
            assert isinstance(await held, Go)

    run_virtual(main())


def test_a_probe_is_faster_than_the_platforms_word() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            key = platform.add(function())
            await rig.settled()
            held = rig.ask(key)
            await rig.settled()
            instance = platform.new(key)
            platform.put(instance)
            await asyncio.sleep(0.3)
            began = now()
            platform.listening.add((str(instance.address), instance.port))
            assert isinstance(await held, Go)
            assert now() - began < 0.05
            asked = rig.prober.asked
            await asyncio.sleep(1)
            assert rig.prober.asked == asked, "an instance that is known is asked no more"

    run_virtual(main())


def test_an_instance_with_a_readiness_probe_by_http_is_ready_when_the_platform_says_so() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            probe = {"httpGet": {"path": "/ready"}}
            key = platform.add(function(readinessProbe=probe))
            await rig.settled()
            held = rig.ask(key)
            await rig.settled()
            instance = platform.new(key)
            platform.put(instance)
            platform.listening.add((str(instance.address), instance.port))
            await asyncio.sleep(2)
            assert not held.done()
            platform.put(replace(instance, ready=True))
            assert isinstance(await held, Go)

    run_virtual(main())


def test_an_announcement_is_enough_before_the_address_is_told() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            key = platform.add(function())
            await rig.settled()
            held = rig.ask(key, 0.01)
            await rig.settled()
            instance = platform.new(key, address=None)
            platform.put(instance)
            platform.listening.add(("10.0.7.7", 8080))
            rig.activator.announced(key, ("10.0.7.7", 8080), None)
            assert isinstance(await held, Go)
            servers = rig.plane.lanes[key].servers
            # The address told later is the same server, not a second one.
            platform.put(replace(instance, address="10.0.7.7", ready=True))
            await rig.settled()
            assert rig.plane.lanes[key].servers == servers
            assert rig.platform.live(key)[0].name == instance.name

    run_virtual(main())


def test_an_announcement_may_come_before_anything_is_told_of_the_instance() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            key = platform.add(function())
            await rig.settled()
            platform.listening.add(("10.0.7.7", 8080))
            rig.activator.announced(key, ("10.0.7.7", 8080), "echo-x")
            await rig.settled()
            assert key not in rig.plane.lanes
            platform.put(platform.new(key, address=None, name="echo-x"))
            await rig.settled()
            assert rig.plane.lanes[key].open

    run_virtual(main())


def test_an_announced_address_that_does_not_listen_gets_nothing() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            key = platform.add(function())
            await rig.settled()
            held = rig.hold(key)
            await rig.settled()
            platform.put(platform.new(key, address=None))
            rig.activator.announced(key, ("10.0.7.7", 8080), None)
            await asyncio.sleep(1)
            assert not held.done()
            platform.listening.add(("10.0.7.7", 8080))
            assert isinstance(await held, Go)

    run_virtual(main())


def test_an_announced_port_that_is_not_the_instances_gets_nothing() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            key = platform.add(function())
            await rig.settled()
            held = rig.hold(key)
            await rig.settled()
            platform.put(platform.new(key, address=None))
            platform.listening |= {("10.0.7.7", 9999), ("10.0.7.7", 8080)}
            rig.activator.announced(key, ("10.0.7.7", 9999), None)
            await asyncio.sleep(1)
            assert not held.done()
            rig.activator.announced(key, ("10.0.7.7", 8080), None)
            assert isinstance(await held, Go)

    run_virtual(main())


def test_an_ended_instance_leaves_the_lane_at_once() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function())
            await rig.settled()
            await rig.ask(key)
            [instance] = rig.platform.live(key)
            rig.platform.put(replace(instance, terminating=True))
            await rig.settled()
            lane = rig.plane.lanes.get(key)
            assert lane is None or not lane.servers

    run_virtual(main())


def test_a_restarting_container_is_out_until_it_listens() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function())
            await rig.settled()
            await rig.ask(key)
            [instance] = rig.platform.live(key)
            where = (str(instance.address), instance.port)
            rig.platform.listening.discard(where)
            rig.platform.put(replace(instance, ready=False))
            await rig.settled()
            held = rig.ask(key)
            await asyncio.sleep(1)
            assert not held.done()
            rig.platform.listening.add(where)
            assert isinstance(await held, Go)

    run_virtual(main())


def test_an_instance_that_crashes_before_it_was_ever_ready_is_out_until_it_listens() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            key = platform.add(function())
            await rig.settled()
            held = rig.ask(key)
            instance = platform.new(key)
            where = (str(instance.address), instance.port)
            platform.listening.add(where)
            platform.put(instance)
            assert isinstance(await held, Go)
            platform.listening.discard(where)
            platform.trouble(instance, "Error", final=False)
            await rig.settled()
            lane = rig.plane.lanes[key]
            assert not (lane.open and lane.servers), "a crashed instance gets requests"
            held = rig.ask(key)
            await asyncio.sleep(1)
            assert not held.done()
            platform.listening.add(where)
            assert isinstance(await held, Go)

    run_virtual(main())


def unlimited(target: int, **hold: int) -> Function:
    """Return a function without a hard limit, of which only one instance may exist."""
    scaling = {"maxReplicas": 1, "concurrency": {"target": target, "limit": 0}}
    return function(scaling=scaling, hold=hold)


def test_without_a_limit_release_is_paced_by_target() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(unlimited(4))
            await rig.settled()
            asked = [rig.ask(key, 0.3) for _ in range(40)]
            verdicts = await asyncio.gather(*asked)
            assert all(isinstance(verdict, Go) for verdict in verdicts)
            assert rig.plane.most.most_common(1)[0][1] <= 4

    run_virtual(main())


def test_without_a_limit_requests_that_never_end_keep_nobody_out() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(unlimited(4))
            await rig.settled()
            asked = [rig.ask(key, 3600) for _ in range(40)]
            await asyncio.sleep(1.4)
            assert rig.plane.inside[key].total() == 4, "first only as many as are aimed at"
            await asyncio.sleep(3)
            assert 12 <= rig.plane.inside[key].total() <= 20, "then a target's worth a second"
            await asyncio.sleep(10)
            assert rig.plane.inside[key].total() == 40
            assert not any(task.done() for task in asked)
            for task in asked:
                task.cancel()

    run_virtual(main())


@pytest.mark.parametrize("seconds", [1, 8, 60])
def test_without_a_limit_nobody_waits_out_the_hold_of_an_instance_that_is_up(seconds: int) -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(unlimited(1, maxSeconds=seconds))
            await rig.settled()
            held = [rig.ask(key, 3600) for _ in range(500)]
            await asyncio.sleep(seconds)
            assert rig.plane.inside[key].total() == 500
            for task in held:
                task.cancel()

    run_virtual(main())


def test_without_a_limit_a_load_that_cannot_be_read_keeps_nobody_out() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(unlimited(1, maxSeconds=10))
            await rig.settled()
            held = [rig.ask(key, 3600) for _ in range(20)]
            await asyncio.sleep(0.7)
            rig.plane.blind = True
            await asyncio.sleep(10)
            assert rig.plane.inside[key].total() == 20
            for task in held:
                task.cancel()

    run_virtual(main())


def test_a_deleted_function_refuses_those_who_wait() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=None)
        async with activator_rig(platform) as rig:
            key = platform.add(function())
            await rig.settled()
            held = rig.hold(key)
            await rig.settled()
            platform.remove(key)
            assert code_of(await held) == "unknown-function"
            await rig.settled()
            assert rig.activator.gate(key) is None
            assert key not in rig.plane.lanes
            assert rig.plane.routes is not None
            assert key not in rig.plane.routes.keys

    run_virtual(main())


def test_a_watch_that_breaks_is_followed_again_and_what_vanished_is_gone() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key, other = rig.platform.add(function()), rig.platform.add(function("other"))
            await rig.settled()
            await rig.ask(key)
            del rig.platform.functions[other]
            rig.platform.cut_watches(UNAVAILABLE)
            await asyncio.sleep(0.1)
            assert "watch failed" in (rig.activator.platform_problem() or "")
            assert isinstance(await rig.ask(key), Go), "warm requests go on"
            await asyncio.sleep(2)
            assert rig.activator.platform_problem() is None
            assert code_of(await rig.activator.hold(other)) == "unknown-function"

    run_virtual(main())


def test_a_data_plane_that_is_away_is_told_by_readiness_and_mends() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function())
            await rig.settled()
            assert rig.activator.plane_problem() is None
            rig.plane.away = True
            held = rig.ask(key)
            await asyncio.sleep(3)
            assert rig.activator.plane_problem() is not None
            assert not held.done()
            rig.plane.away = False
            assert isinstance(await held, Go)
            await asyncio.sleep(1)
            assert rig.activator.plane_problem() is None

    run_virtual(main())
