"""InvocationType Event: a refusal fails the task, a long run does not hold it."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web

from tests.unit.workflows.engine.test_integrations import INVOKE, Answer, job, of, served
from torpor.invoke import Invoker, Retry
from torpor.workflows.asl.events import Input, TaskFailed
from torpor.workflows.engine.integrations import functions
from torpor.workflows.engine.integrations.functions import Functions

EVENT = job(INVOKE, {"FunctionName": "f", "InvocationType": "Event", "Payload": {"n": 1}})


def refusing(status: int, code: str = "") -> Answer:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"detail": "no", "code": code}, status=status)

    return answer


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusing(404, "unknown-function"), "Lambda.ResourceNotFoundException"),
        (refusing(429), "Lambda.TooManyRequestsException"),
        (refusing(503), "Lambda.ServiceException"),
    ],
)
async def test_a_refused_event_fails_its_task(answer: Answer, error: str) -> None:
    async with served(answer) as url, Invoker(url) as invoker:
        outcome = await Functions(invoker).run(EVENT)
    assert isinstance(outcome, TaskFailed)
    assert outcome.error == error


async def test_an_event_without_a_gateway_fails_its_task() -> None:
    async with Invoker("http://127.0.0.1:9", retry=Retry(attempts=1)) as invoker:
        outcome = await Functions(invoker).run(EVENT)
    assert isinstance(outcome, TaskFailed)
    assert outcome.error == "Lambda.SdkClientException"


async def test_a_function_that_fails_on_an_event_is_not_the_tasks_matter(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"errorType": "Sold", "errorMessage": "out"}, status=500)

    async with served(answer) as url, Invoker(url) as invoker:
        assert of(await Functions(invoker).run(EVENT))["StatusCode"] == 202
    assert "an event's function failed" in caplog.text


async def test_a_long_run_goes_on_after_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "EVENT_SECONDS", 0.05)
    gate, ended = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        await gate.wait()
        ended.set()
        return web.json_response(await request.json())

    async with served(answer) as url, Invoker(url) as invoker:
        began = time.monotonic()
        does = Functions(invoker)
        found = of(await does.run(EVENT))
        assert (found["StatusCode"], found["Payload"]) == (202, "")
        assert time.monotonic() - began < 5
        assert not ended.is_set()
        gate.set()
        async with asyncio.timeout(10):
            await ended.wait()
            while does._events:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_task_that_is_stopped_stops_its_event_and_many_events_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(functions, "EVENT_SECONDS", 0.05)
    monkeypatch.setattr(functions, "MOST_EVENTS", 0)
    came, gate = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        came.set()
        await gate.wait()
        return web.Response()

    async with served(answer) as url, Invoker(url) as invoker:
        does = Functions(invoker)
        task: asyncio.Task[Input | None] = asyncio.create_task(does.run(EVENT))
        async with asyncio.timeout(10):
            await came.wait()
            await asyncio.wait([task], timeout=0.3)
            assert not task.done()
            task.cancel()
            await asyncio.wait([task])
            while does._events:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        gate.set()
    assert task.cancelled()
