"""Who waits for an express execution gets an answer also when its engine lets it go."""

from __future__ import annotations

import asyncio

from tests.support.engine_rig import make_execution, rig
from torpor.workflows.asl.frontier import Status
from torpor.workflows.records import Execution, MachineType

WAITS = {"StartAt": "w", "States": {"w": {"Type": "Wait", "Seconds": 200, "End": True}}}


async def test_an_express_execution_that_is_let_go_ends_as_failed() -> None:
    async with rig() as engine:
        machine = await engine.machine(WAITS, kind=MachineType.EXPRESS)
        execution = make_execution(machine, {}, "one")
        waiting: asyncio.Task[Execution] = asyncio.create_task(
            engine.engine.run_express(execution, wait=True), name="start sync"
        )
        await engine.until(lambda: engine.engine.residents == 1)
    async with asyncio.timeout(5):
        ended = await waiting
    assert (ended.status, ended.error) == (Status.FAILED, "States.Runtime")
    assert "start it again" in (ended.cause or "")
