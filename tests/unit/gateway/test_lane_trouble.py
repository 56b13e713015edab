"""What the trouble of one function's lane does, and to whom. Virtual time."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.activator_rig import activator_rig, now
from tests.support.fake_platform import function
from tests.support.virtual_time import run as run_virtual
from torpor.errors import DataPlaneError, SlotsExhausted
from torpor.gateway.dataplane.base import Go, Lane, Refused
from torpor.gateway.lane import LaneKeeper
from torpor.resources.names import FunctionKey


def test_a_function_without_a_slot_is_refused_at_once_and_only_it() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            served, left_out = rig.platform.add(function("ok")), rig.platform.add(function("late"))
            take = rig.plane.apply

            async def apply(key: FunctionKey, lane: Lane | None) -> None:
                if key == left_out and lane is not None:
                    raise SlotsExhausted("all 1 slots of HAProxy are in use")
                await take(key, lane)

            rig.plane.apply = apply  # type: ignore[method-assign]
            assert isinstance(await rig.ask(served), Go)
            began = now()
            verdict = await rig.ask(left_out)
            assert isinstance(verdict, Refused)
            assert (verdict.code, now() - began < 2) == ("slots-exhausted", True)
            assert rig.activator.plane_problem() is None
            rig.plane.apply = take  # type: ignore[method-assign]
            await asyncio.sleep(3)
            assert isinstance(await rig.ask(left_out), Go)

    run_virtual(main())


def test_a_retry_that_came_due_while_the_gate_was_busy_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = LaneKeeper._failed

    def due_already(self: LaneKeeper, problem: str, now: float) -> None:
        failed(self, problem, now)
        self.retry_at = now

    monkeypatch.setattr(LaneKeeper, "_failed", due_already)

    async def main() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function())
            await rig.ask(key)
            await asyncio.sleep(1)
            take = rig.plane.apply

            async def fail_once(key: FunctionKey, lane: Lane | None) -> None:
                await asyncio.sleep(0.1)
                rig.plane.apply = take  # type: ignore[method-assign]
                raise DataPlaneError("busy")

            rig.plane.apply = fail_once  # type: ignore[method-assign]
            rig.platform.set_replicas(key, 2)
            await asyncio.sleep(5)
            assert len(rig.plane.lanes[key].servers) == 2

    run_virtual(main())
