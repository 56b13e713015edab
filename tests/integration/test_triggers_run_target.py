"""Events that start runs of a Job Function, against a real broker and a real HTTP server."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from aiohttp import web

from tests.integration.delivery_rig import QUICK, called, dead, definition, delivering, put
from tests.integration.trigger_rig import event
from tests.support.servers.function import Call, functions
from tests.support.servers.nats import broker, lag, needs_nats
from torpor.resources.function import Function
from torpor.resources.run import run_id, run_location
from torpor.triggers.definitions import Definition
from torpor.triggers.delivery import handling
from torpor.triggers.wanted import facts_of, instances_for

pytestmark = needs_nats
JOB = Function.parse(
    {
        "metadata": {"namespace": "shop", "name": "handler"},
        "spec": {"workload": "Job", "image": "example.com/job:1"},
    }
)
FACTS = facts_of(JOB)


def to_job(**spec: Any) -> Definition:
    return definition(facts=FACTS.to_json(), **{"delivery": QUICK, **spec})


def taken(call: Call) -> web.Response:
    name = run_id(JOB.key, "", call.headers["Idempotency-Key"])
    location = run_location("shop", name)
    body = {"id": name, "location": location}
    return web.json_response(body, status=202, headers={"Location": location})


def refused(status: int, code: str, detail: str) -> web.Response:
    return web.json_response({"code": code, "detail": detail}, status=status)


async def test_an_event_is_one_run_however_often_it_is_delivered() -> None:
    replies = [web.Response(status=503), web.Response(status=502), None]

    def answer(call: Call) -> web.Response:
        return replies.pop(0) or taken(call)

    one = to_job()
    async with broker() as at, functions(answer) as to, delivering(at, to, one):
        await put(at, one, [event(7, {"film": "a.mp4"})])
        await called(to, 3)
        await lag(at, {})
    assert len({call.headers["Idempotency-Key"] for call in to.calls}) == 1
    first = to.calls[0]
    assert (first.function, first.method, first.path) == ("shop/handler", "POST", "/")
    given = orjson.loads(first.body)
    assert (given["id"], given["data"]) == ("7", {"film": "a.mp4"})


async def test_two_events_are_two_runs_and_a_transform_makes_the_input() -> None:
    one = to_job(transform={"input": {"film": "${data.film}"}})
    async with broker() as at, functions(taken) as to, delivering(at, to, one):
        await put(at, one, [event(1, {"film": "a"}), event(2, {"film": "b"})])
        await called(to, 2)
    assert len({call.headers["Idempotency-Key"] for call in to.calls}) == 2
    assert sorted(call.body for call in to.calls) == [b'{"film":"a"}', b'{"film":"b"}']
    assert {call.headers["Content-Type"] for call in to.calls} == {"application/json"}


async def test_events_that_come_again_in_other_company_are_the_same_runs() -> None:
    replies = [None, web.Response(status=503)]

    def answer(call: Call) -> web.Response:
        return (replies.pop(0) if replies else None) or taken(call)

    one = to_job(batch={"size": 3, "windowSeconds": 1})
    async with broker() as at, functions(answer) as to, delivering(at, to, one):
        await put(at, one, [event(number) for number in (1, 2, 3)])
        await called(to, 4)
        await lag(at, {})
    given = [orjson.loads(call.body)["id"] for call in to.calls]
    keys = {call.headers["Idempotency-Key"] for call in to.calls}
    assert (sorted(set(given)), len(given), len(keys)) == (["1", "2", "3"], 4, 3)


async def test_too_many_runs_are_waited_for_and_are_no_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handling, "_ABSENT_SECONDS", (0.05,))
    busy = 4

    def answer(call: Call) -> web.Response:
        if len(to.calls) <= busy:
            return refused(429, "reserved-concurrency", "too many runs")
        return taken(call)

    one = to_job(delivery={**QUICK, "maxAttempts": 1})
    async with broker() as at, functions(answer) as to, delivering(at, to, one):
        await put(at, one, [event(1)])
        await called(to, busy + 1)
        await lag(at, {})
    assert {call.headers["X-Request-Id"].rpartition("-")[2] for call in to.calls} == {"1"}


async def test_an_input_that_is_too_large_becomes_a_dead_letter_that_says_so() -> None:
    said = "a run's input is at most 131072 bytes: store it, and send where it is"
    one = to_job()
    async with (
        broker() as at,
        functions(lambda _: refused(413, "request-too-large", said)) as to,
        delivering(at, to, one),
    ):
        await put(at, one, [event(1)])
        (letter,) = await dead(at, 1)
    assert said in str(letter)
    assert len(to.calls) == 1


async def test_data_that_is_no_text_comes_in_base64() -> None:
    one = to_job()
    async with broker() as at, functions(taken) as to, delivering(at, to, one):
        await put(at, one, [event(1, b"\xff\x00", datacontenttype="image/png")])
        await called(to, 1)
    assert orjson.loads(to.calls[0].body)["data_base64"] == "/wA="


def test_a_job_is_not_scaled_by_what_waits_for_it() -> None:
    assert instances_for(7.0, to_job().trigger, FACTS) == 0.0
