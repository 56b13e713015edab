"""A gateway that wakes and a leader that scales, over one platform: the second keeps what the first
asked for. Virtual time."""

from __future__ import annotations

import asyncio

from tests.support.activator_rig import Rig, activator_rig, now
from tests.support.fake_platform import FakePlatform, function
from tests.support.virtual_time import run as run_virtual
from torpor.dev.gateways import InProcessGateways
from torpor.functions.autoscaler import Autoscaler
from torpor.gateway.dataplane.base import Go
from torpor.resources.names import MANAGER_AUTOSCALER

WINDOW_SECONDS = 20
SCALING = {
    "maxReplicas": 10,
    "idleSeconds": 10,
    "windowSeconds": WINDOW_SECONDS,
    "concurrency": {"target": 1, "limit": 1},
}


def lead(rig: Rig) -> asyncio.Task[None]:
    scaler = Autoscaler(rig.platform, InProcessGateways(rig.activator), clock=now)
    return asyncio.create_task(scaler.run(), name="autoscaler")


def test_a_crowd_is_served_by_as_many_as_it_needs_and_they_stay_while_it_is_there() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=1.0)
        async with activator_rig(platform) as rig:
            leader = lead(rig)
            key = platform.add(function(scaling=SCALING))
            await asyncio.sleep(5)
            began = now()
            verdicts = await asyncio.gather(*(rig.ask(key, 0.5) for _ in range(100)))
            assert all(isinstance(verdict, Go) for verdict in verdicts)
            # One start, then ten rounds of half a second.
            assert now() - began < 1.1 + 10 * 0.5 + 0.3
            assert max(rig.plane.most.values()) == 1
            led = [item.replicas for item in platform.written if item.manager == MANAGER_AUTOSCALER]
            assert led == [], "the leader changes nothing about what the wake asked for"
            await asyncio.sleep(60)
            assert platform.replicas[key] == 0, "and brings it to zero in the end"
            leader.cancel()
            await asyncio.gather(leader, return_exceptions=True)

    run_virtual(main())


def test_a_slow_start_does_not_ask_for_more_with_each_second() -> None:
    async def main() -> None:
        platform = FakePlatform(starts_after_seconds=20.0)
        async with activator_rig(platform) as rig:
            key = platform.add(function(scaling=SCALING))
            await rig.settled()
            asked = []
            for _ in range(15):
                asked.append(rig.ask(key))
                await asyncio.sleep(1)
            assert [item.replicas for item in platform.written] == [1]
            assert all(isinstance(verdict, Go) for verdict in await asyncio.gather(*asked))

    run_virtual(main())
