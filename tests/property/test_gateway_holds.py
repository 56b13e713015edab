"""Whatever happens in whatever order: a held request ends by its deadline, and goes only through
an open lane with a server in it; and when all is well again, requests are served again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.activator_rig import Rig, activator_rig, now
from tests.support.fake_platform import FakePlatform, function
from tests.support.virtual_time import run as run_virtual
from torpor.errors import ApiConflict, ApiError, ApiUnavailable, DataPlaneError
from torpor.gateway.dataplane.base import Go, Refused
from torpor.platform.base import Instance
from torpor.resources.names import MANAGER_AUTOSCALER, FunctionKey

HOLD_SECONDS = 8
ACTIONS = (
    "hold",
    "burst",
    "leave",
    "park",
    "settle-zero",
    "settle-open",
    "zero-behind-our-back",
    "instance-dies",
    "instance-ends",
    "instance-fails-for-good",
    "instance-unready",
    "announce",
    "api-fails",
    "api-conflicts",
    "plane-refuses",
    "plane-takes-but-fails",
    "plane-goes",
    "plane-returns",
    "watch-breaks",
    "elsewhere",
    "here",
)
STEPS = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.sampled_from((0.0, 0.001, 0.03, 0.3, 1.5, 6.0))),
    max_size=40,
)


@dataclass
class World:
    rig: Rig
    key: FunctionKey
    held: list[asyncio.Task[None]] = field(default_factory=list)
    parks: list[asyncio.Task[None]] = field(default_factory=list)
    ended: int = 0

    async def hold(self) -> None:
        began = now()
        verdict = await self.rig.activator.hold(self.key)
        assert now() - began <= HOLD_SECONDS + 0.01
        self.ended += 1
        if isinstance(verdict, Refused):
            assert verdict.status == 503
            return
        lane = self.rig.plane.lanes[self.key]
        assert lane.open
        assert lane.servers

    async def park(self) -> None:
        try:
            await self.rig.activator.park(self.key)
        except DataPlaneError:
            return

    def act(self, action: str) -> None:
        platform, plane, activator = self.rig.platform, self.rig.plane, self.rig.activator
        match action:
            case "hold" | "burst":
                count = 20 if action == "burst" else 1
                self.held += [asyncio.create_task(self.hold()) for _ in range(count)]
            case "leave" if self.held:
                self.held.pop(0).cancel()
            case "park":
                self.parks.append(asyncio.create_task(self.park()))
            case "settle-zero":
                platform.set_replicas(self.key, 0)
                activator.settle(self.key, scaled=True)
            case "settle-open":
                activator.settle(self.key, scaled=False)
            case "zero-behind-our-back":
                platform.set_replicas(self.key, 0)
            case "api-fails":
                platform.failures += [ApiUnavailable(0, "Timeout", "no answer")] * 3
            case "api-conflicts":
                platform.failures += [ApiConflict(409, "Conflict", "changed")] * 2
            case "plane-refuses" | "plane-takes-but-fails":
                plane.failures += [action == "plane-takes-but-fails"] * 3
            case "plane-goes" | "plane-returns":
                plane.away = action == "plane-goes"
            case "watch-breaks":
                platform.cut_watches(ApiError(410, "Gone", "too old"))
            case "elsewhere":
                activator.set_members({f"gateway-{n}": f"10.1.0.{n + 1}" for n in range(9)})
            case "here":
                activator.set_members({})
            case "announce":
                platform.listening.add(("10.9.9.9", 8080))
                activator.announced(self.key, ("10.9.9.9", 8080), None)
            case _:
                self.strike(action)

    def strike(self, action: str) -> None:
        platform = self.rig.platform
        for instance in platform.live(self.key)[:1]:
            match action:
                case "instance-dies":
                    platform.take(instance)
                case "instance-ends":
                    platform.put(replace(instance, terminating=True))
                case "instance-fails-for-good":
                    platform.trouble(instance, "CrashLoopBackOff", final=True)
                case "instance-unready":
                    platform.put(replace(instance, ready=False))

    async def heal(self) -> None:
        platform = self.rig.platform
        platform.failures.clear()
        self.rig.plane.failures.clear()
        self.rig.plane.away = False
        self.rig.activator.set_members({})
        everything: tuple[Instance, ...] = tuple(platform.instances.get(self.key, {}).values())
        for instance in everything:
            platform.take(instance)
        await platform.set_scale(self.key, 0, manager=MANAGER_AUTOSCALER)


@given(steps=STEPS, limit=st.sampled_from((0, 1, 100)), start=st.sampled_from((0.0, 0.05, 2.0)))
@settings(max_examples=150)
def test_nothing_is_ever_stuck(steps: list[tuple[str, float]], limit: int, start: float) -> None:
    async def main() -> None:
        async with activator_rig(FakePlatform(starts_after_seconds=start)) as rig:
            spec = {"concurrency": {"target": 1, "limit": limit}}
            key = rig.platform.add(function(scaling=spec, hold={"maxSeconds": HOLD_SECONDS}))
            await rig.settled()
            world = World(rig, key)
            for action, pause_seconds in steps:
                world.act(action)
                await asyncio.sleep(pause_seconds)
            await asyncio.sleep(HOLD_SECONDS + 0.1)
            assert all(task.done() for task in world.held), "a request is stuck"
            for task in world.held:
                task.result()
            await asyncio.gather(*world.parks)
            await world.heal()
            await asyncio.sleep(15)
            assert rig.activator.plane_problem() is None
            verdict = await rig.ask(key)
            assert isinstance(verdict, Go), verdict

    run_virtual(main())
