"""To zero and back without losing a request. Virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random

import pytest

from tests.support.activator_rig import Rig, activator_rig, now
from tests.support.fake_platform import FakePlatform, function
from tests.support.virtual_time import run as run_virtual
from torpor.errors import DataPlaneError
from torpor.gateway.dataplane.base import Go
from torpor.gateway.gate import State
from torpor.platform.base import Instance
from torpor.resources.load import ParkAnswer
from torpor.resources.names import MANAGER_AUTOSCALER, FunctionKey

DRAINED = ParkAnswer(0, 0, 0)


async def awake(rig: Rig) -> FunctionKey:
    key = rig.platform.add(function())
    await rig.settled()
    assert isinstance(await rig.ask(key), Go)
    await asyncio.sleep(0.5)
    return key


async def to_zero(rig: Rig, key: FunctionKey) -> bool:
    """Do what the autoscaler's leader does; return whether it came to zero."""
    version = (await rig.platform.scale(key)).version
    answer = await rig.activator.park(key)
    if not answer.drained:
        rig.activator.settle(key, scaled=False)
        return False
    await rig.platform.set_scale(key, 0, manager=MANAGER_AUTOSCALER, version=version)
    rig.activator.settle(key, scaled=True)
    return True


def test_an_idle_function_parks_at_once_and_falls_asleep() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = await awake(rig)
            began = now()
            assert await rig.activator.park(key) == DRAINED
            assert now() - began < 0.2
            assert rig.activator.gate(key).state is State.PARKED  # type: ignore[union-attr]
            assert not rig.plane.lanes[key].open
            rig.platform.set_replicas(key, 0)
            rig.activator.settle(key, scaled=True)
            await rig.settled()
            assert key not in rig.plane.lanes
            [instance] = rig.platform.instances[key].values()
            rig.platform.take(instance)
            await rig.settled()
            assert rig.activator.gate(key) is None
            assert rig.activator.load().functions == {}

    run_virtual(main())


def test_what_is_inside_is_waited_for_and_told() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = await awake(rig)
            long, short = rig.ask(key, 5.0), rig.ask(key, 0.5)
            await rig.settled()
            began = now()
            assert await rig.activator.park(key) == ParkAnswer(1, 0, 0)
            assert 0.99 < now() - began < 1.1
            assert short.done()
            rig.activator.settle(key, scaled=False)
            assert isinstance(await rig.ask(key), Go)
            assert isinstance(await long, Go)

    run_virtual(main())


def test_requests_that_come_while_parked_wait_and_do_not_wake() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = await awake(rig)
            await rig.activator.park(key)
            writes, held = len(rig.platform.written), rig.ask(key)
            await asyncio.sleep(2)
            assert not held.done()
            assert len(rig.platform.written) == writes
            assert rig.activator.load().functions[key].held == 1
            assert (await rig.activator.park(key)).held == 1
            rig.activator.settle(key, scaled=False)
            began = now()
            assert await held == Go(None)
            assert now() - began < 0.1

    run_virtual(main())


def test_held_requests_wake_at_once_after_the_scale_to_zero() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = await awake(rig)
            await rig.activator.park(key)
            held = rig.ask(key)
            await asyncio.sleep(0.3)
            rig.platform.set_replicas(key, 0)
            rig.activator.settle(key, scaled=True)
            began = now()
            verdict = await held
            assert isinstance(verdict, Go)
            assert verdict.cold_ms is not None
            assert now() - began < 0.6

    run_virtual(main())


def test_a_leader_that_dies_leaves_nothing_parked() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = await awake(rig)
            await rig.activator.park(key)
            began = now()
            assert isinstance(await rig.ask(key), Go)
            assert 4.5 < now() - began < 5.2

    run_virtual(main())


def test_a_function_asleep_can_be_parked() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function())
            await rig.settled()
            assert await rig.activator.park(key) == DRAINED
            rig.activator.settle(key, scaled=True)
            await rig.settled()
            assert rig.activator.gate(key) is None

    run_virtual(main())


def test_nothing_is_acknowledged_that_is_not_certain() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = await awake(rig)
            rig.plane.failures = [False] * 100
            with pytest.raises(DataPlaneError):
                await rig.activator.park(key)
            rig.plane.failures = []
            assert isinstance(await rig.ask(key), Go)

    run_virtual(main())


def test_an_instance_that_outlives_the_scale_to_zero_serves_again() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            key = await awake(rig)
            [kept] = rig.platform.live(key)
            await rig.activator.park(key)
            # Zero and one again before the workload's controller looked: the pod is kept.
            rig.platform.replicas[key] = 1
            rig.activator.settle(key, scaled=True)
            held = rig.ask(key)
            assert isinstance(await held, Go)
            assert rig.platform.live(key) == [kept]

    run_virtual(main())


def test_200_flaps_under_steady_traffic_lose_nothing() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=0.05)
        async with activator_rig(platform) as rig:
            key, random = await awake(rig), Random(7)
            verdicts: list[object] = []

            async def client() -> None:
                while flaps < 200:
                    verdicts.append(await rig.ask(key, random.uniform(0.001, 0.02)))
                    await asyncio.sleep(random.expovariate(3))

            flaps = 0
            async with asyncio.TaskGroup() as tasks:
                for _ in range(4):
                    tasks.create_task(client())
                while flaps < 200:
                    await asyncio.sleep(random.uniform(0, 0.2))
                    flaps += await to_zero(rig, key)
                    _collect(platform, key)
            assert all(isinstance(verdict, Go) for verdict in verdicts)
            assert len(verdicts) > 300

    run_virtual(main())


def _collect(platform: FakePlatform, key: FunctionKey) -> None:
    """End the instances that are on their way out."""
    ending: list[Instance] = [i for i in platform.instances[key].values() if i.terminating]
    for instance in ending:
        platform.take(replace(instance))
