"""Express executions that wait for a place: they time out, leave at once, and are not too many."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest

from tests.support.engine_rig import make_execution, rig
from torpor.workflows.asl.frontier import Status
from torpor.workflows.engine import concurrency, keeping
from torpor.workflows.engine.base import Throttled
from torpor.workflows.engine.concurrency import ExpressAdmission, Place
from torpor.workflows.records import MachineType, Options

WAIT = {"StartAt": "w", "States": {"w": {"Type": "Wait", "Seconds": 600, "End": True}}}
ONE = Options(concurrency_limit=1)


async def test_who_waits_longer_than_an_express_execution_may_last_times_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "EXPRESS_SECONDS", 1.0)
    async with rig() as it:
        machine = await it.machine(WAIT, "m", MachineType.EXPRESS, ONE)
        runs = [
            it.engine.run_express(make_execution(machine, {}, f"e{n}"), wait=True) for n in range(3)
        ]
        ends = await asyncio.wait_for(asyncio.gather(*runs), 10)
        assert {end.status for end in ends} == {Status.TIMED_OUT}
        assert it.engine.residents == 0


async def test_more_than_may_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "MOST_WAITING", 2)
    async with rig() as it:
        machine = await it.machine(WAIT, "m", MachineType.EXPRESS, ONE)
        for n in range(3):
            await it.engine.run_express(make_execution(machine, {}, f"e{n}"), wait=False)
        with pytest.raises(Throttled, match="2 executions wait"):
            await it.engine.run_express(make_execution(machine, {}, "more"), wait=False)
        assert it.engine.residents == 3


def test_leaving_costs_the_same_however_many_wait() -> None:
    def seconds(waiting: int) -> float:
        admission, begun = ExpressAdmission(lambda: 1), itertools.count()
        begin: Any = lambda: next(begun)  # noqa: E731
        for n in range(waiting):
            admission.enter(Place(f"e{n}", "lane", 1), begin)
        before = time.perf_counter()
        for n in range(100):
            admission.leave(f"e{n}", 1)
        assert next(begun) == 101
        return time.perf_counter() - before

    seconds(200)
    assert seconds(9_000) < 20 * seconds(200)
