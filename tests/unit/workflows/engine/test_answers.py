"""Several answers to one task at once: the one that counts is acknowledged, the others are told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.engine_rig import rig
from torpor.workflows.asl.payload import Payload
from torpor.workflows.engine.base import Job, TaskGone

ASK = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
    "Parameters": {"FunctionName": "ask", "Payload": {"token.$": "$$.Task.Token"}},
}
LAST = {"StartAt": "ask", "States": {"ask": {**ASK, "End": True}}}
FIRST = {
    "StartAt": "ask",
    "States": {
        "ask": {**ASK, "Next": "w", "ResultPath": "$.answer"},
        "w": {"Type": "Wait", "Seconds": 1, "OutputPath": "$.answer", "End": True},
    },
}


@pytest.mark.parametrize("lost_answers", [0, 1])
@pytest.mark.parametrize("definition", [LAST, FIRST])
async def test_one_of_many_answers_is_acknowledged(definition: Any, lost_answers: int) -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()

    async def ask(job: Job) -> Any:
        await asked.put(job.dispatch.argument.value["Payload"]["token"])
        return {}

    async with rig({"ask": ask}) as it:
        execution = await it.start(await it.machine(definition))
        token = await asyncio.wait_for(asked.get(), 5)
        answers = [it.engine.succeed(token, Payload(n)) for n in range(8)]
        it.ledger.lost_answers = lost_answers
        outcomes = await asyncio.wait_for(asyncio.gather(*answers, return_exceptions=True), 30)
        [taken] = [n for n, outcome in enumerate(outcomes) if outcome is None]
        others = [outcome for outcome in outcomes if outcome is not None]
        assert all(isinstance(outcome, TaskGone) for outcome in others)
        assert (await it.end(execution)).output == Payload(taken)


class Leaving(dict[int, Any]):
    """Frames that a thread takes away as soon as they were looked up."""

    def get(self, key: int, default: Any = None) -> Any:
        return self.pop(key, default)


async def test_a_heartbeat_looks_its_task_up_once() -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()

    async def ask(job: Job) -> Any:
        await asked.put(job.dispatch.argument.value["Payload"]["token"])
        return {}

    async with rig({"ask": ask}) as it:
        await it.start(await it.machine(LAST))
        token = await asyncio.wait_for(asked.get(), 5)
        [resident] = it.engine._residents
        resident.frontier.frames = Leaving(resident.frontier.frames)
        await it.engine.heartbeat(token)
        with pytest.raises(TaskGone):
            await it.engine.heartbeat(token)
