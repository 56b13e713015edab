"""Functions called by those who do not wait, from a gateway's door to the result and the record."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import boto3
import pytest
from aiohttp import ClientSession, web
from botocore.exceptions import ClientError

from tests.support.async_rig import PREFER, async_rig, record_of
from tests.support.fake_platform import function
from tests.support.haproxy import needs_haproxy
from tests.support.lambda_rig import call, client
from tests.support.real_gateway import ServingPlatform, real_gateway
from tests.support.servers.function import Call
from tests.support.servers.nats import needs_nats, until
from tests.support.stepfunctions_rig import ROLE
from tests.support.stepfunctions_rig import serving as stepfunctions
from torpor.resources.names import FunctionKey
from torpor.triggers.standings import EventsAway, TargetFacts, Wanted

pytestmark = [needs_haproxy, needs_nats]
ECHO = "/function/shop/echo"


def answering(found: Call) -> web.Response:
    headers = {"X-Made-By": "echo", "Content-Type": "text/plain"}
    return web.Response(status=201, body=b"got " + found.body[:20], headers=headers)


async def test_a_request_is_taken_and_its_result_can_be_fetched() -> None:
    async with async_rig({"echo": {}}, answering) as rig:
        location = await rig.accepted(
            f"{ECHO}/orders%2F7?x=a%2Bb", b"tea", **{"X-Mine": "yes", "X-Request-Id": "mine"}
        )
        status, headers, body = await rig.result(location)
        assert (status, headers["X-Made-By"], body) == ("201", "echo", b"got tea")
        (seen,) = rig.instances.to("echo")
        assert (seen.method, seen.path, seen.body) == ("POST", "/orders%2F7?x=a%2Bb", b"tea")
        assert (seen.headers["X-Mine"], seen.headers["X-Request-Id"]) == ("yes", "mine")
        assert "Prefer" not in seen.headers
        assert seen.headers["Torpor-Detail"] == "none", "it is no call from within"


async def test_the_host_of_a_function_takes_calls_and_tells_results() -> None:
    async with async_rig({"echo": {}}, answering) as rig:
        host = {"Host": "echo.shop.svc"}
        location = await rig.accepted("/orders", b"tea", **host)
        await rig.result(location)
        async with rig.session.get(rig.url + location, headers=host) as answer:
            assert (answer.status, await answer.read()) == (200, b"got tea")
        unknown = f"{rig.url}/function/@calls/shop/nothing"
        async with rig.session.get(unknown, headers=host) as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "no-such-call")


async def test_lambda_clients_send_events() -> None:
    async with async_rig({"echo": {}}, answering) as rig:
        boto = client(rig.url)
        arguments: dict[str, Any] = {"FunctionName": "shop.echo", "InvocationType": "Event"}
        told = await asyncio.to_thread(call, boto, "invoke", **arguments, Payload=b'{"n": 1}')
        assert told["StatusCode"] == 202
        (seen,) = await rig.arrived("echo", 1)
        assert (seen.body, seen.path) == (b'{"n": 1}', "/")
        assert len(seen.headers["Torpor-Detail"]) == 64, "it is a call from within"
        old = await asyncio.to_thread(
            call, boto, "invoke_async", FunctionName="shop.echo", InvokeArgs=b'{"n": 2}'
        )
        assert old["Status"] == 202
        assert [each.body for each in await rig.arrived("echo", 2)][1] == b'{"n": 2}'


async def test_a_failure_is_tried_again_and_then_a_dead_letter() -> None:
    specs = {"echo": {"async": {"maxAttempts": 2}}}
    async with async_rig(specs, lambda _: web.Response(status=500, text="no tea")) as rig:
        location = await rig.accepted(ECHO, b"{}")
        status, _, body = await rig.result(location)
        assert (status, body) == ("500", b"no tea")
        assert len(rig.instances.to("echo")) == 2
        standings = rig.events.standings(rig.session)
        assert list(await standings.survey()) == [], "no Trigger is behind it"
        url = f"http://127.0.0.1:{rig.events.internal_port}/v1/deadletters"
        async with rig.session.get(url, headers=standings._headers) as answer:
            letters = (await answer.json())["letters"]
        assert [(each["trigger"], each["attempts"]) for each in letters] == [
            ("shop/0-calls-echo", 2)
        ]
        assert list(await standings.idle_calls()) == [], "the dead letter can be given back"


@pytest.mark.parametrize(("fails", "condition"), [(False, "Success"), (True, "RetriesExhausted")])
async def test_destinations_are_given_lambdas_record(fails: bool, condition: str) -> None:
    def behaviour(found: Call) -> web.Response:
        if found.function == "shop/echo" and fails:
            return web.json_response({"why": "no tea"}, status=422)
        return web.json_response({"ok": True})

    targets = {
        "onSuccess": {"function": {"name": "good", "path": "/told"}},
        "onFailure": {"function": {"name": "bad", "path": "/told"}},
    }
    specs: dict[str, Any] = {"echo": {"async": targets}, "good": {}, "bad": {}}
    async with async_rig(specs, behaviour) as rig:
        await rig.accepted(ECHO, b'{"n": 1}', **{"X-Request-Id": "mine"})
        (told,) = await rig.arrived("bad" if fails else "good", 1)
        record = record_of(told)
        assert (told.path, record["version"], record["requestPayload"]) == (
            "/told",
            "1.0",
            {"n": 1},
        )
        assert record["requestContext"] == {
            "requestId": "mine",
            "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:shop.echo:$LATEST",
            "condition": condition,
            "approximateInvokeCount": 1,
        }
        assert record["responsePayload"] == ({"why": "no tea"} if fails else {"ok": True})
        assert ("functionError" in record["responseContext"]) is fails


async def test_a_bus_is_told_of_a_call_that_ended() -> None:
    """The record is the data of an event, which Triggers of the bus are given."""
    settings = {"onSuccess": {"bus": {"name": "ended"}}}
    key = FunctionKey("shop", "ended")
    listening = {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Trigger",
        "metadata": {"namespace": "shop", "name": "ended", "uid": "u", "generation": 1},
        "spec": {
            "source": {"bus": {"name": "ended"}},
            "target": {"function": {"name": "log"}},
            "filter": {"pattern": {"data": {"responsePayload": {"ok": [True]}}}},
        },
    }
    specs: dict[str, Any] = {"echo": {"async": settings}, "log": {}}
    async with async_rig(specs, lambda _: web.json_response({"ok": True})) as rig:
        facts = TargetFacts(exists=True, timeout_seconds=5.0)
        await rig.events.standings(rig.session).put(key, Wanted(listening, facts))
        await rig.accepted(ECHO, b'{"n": 1}', **{"X-Request-Id": "mine"})
        (told,) = await rig.arrived("log", 1)
        record = record_of(told)
        assert record["requestContext"]["requestId"] == "mine"
        assert (record["requestPayload"], record["responsePayload"]) == ({"n": 1}, {"ok": True})


async def test_a_workflow_is_started_with_the_record_of_a_call_that_failed() -> None:
    """The record itself is the execution's input, as an asynchronous Lambda's would be."""
    settings = {"maxAttempts": 1, "onFailure": {"workflow": {"name": "mend"}}}
    machine = {"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}}
    async with stepfunctions() as api:
        await api(
            "create_state_machine", name="shop.mend", definition=json.dumps(machine), roleArn=ROLE
        )

        async def started() -> bool:
            return bool(api.records.execution_rows)

        refuses = async_rig(
            {"echo": {"async": settings}},
            lambda _: web.json_response({"why": "no tea"}, status=422),
            engine_url=f"http://127.0.0.1:{api.port}",
        )
        async with refuses as rig:
            await rig.accepted(ECHO, b'{"n": 1}', **{"X-Request-Id": "mine"})
            await until(started, 30)
        (only,) = api.records.execution_rows.values()
    record = json.loads(only.input.text)
    assert record["requestContext"]["requestId"] == "mine"
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert (record["requestPayload"], record["responsePayload"]) == ({"n": 1}, {"why": "no tea"})


async def test_the_inboxes_of_a_function_can_be_removed_once_they_are_empty() -> None:
    settings = {"onSuccess": {"queue": {"name": "ended"}}, "maxAttempts": 1}
    free = asyncio.Event()

    async def behaviour(_: Call) -> web.Response:
        await free.wait()
        return web.json_response({"ok": True})

    async with async_rig({"echo": {"async": settings}}, behaviour) as rig:
        standings = rig.events.standings(rig.session)
        calls, told = FunctionKey("shop", "0-calls-echo"), FunctionKey("shop", "0-success-echo")

        async def empty() -> bool:
            return {inbox.key for inbox in await standings.idle_calls()} == {calls, told}

        location = await rig.accepted(ECHO, b"{}")
        await rig.arrived("echo", 1)
        assert not await empty()
        with pytest.raises(EventsAway, match="1 calls or ends of calls wait in shop/0-calls-echo"):
            await standings.delete(calls)
        free.set()
        await rig.result(location)
        await until(empty, 20)
        for key in (calls, told):
            assert await standings.delete(key) == ""
        assert list(await standings.idle_calls()) == []
        await rig.result(await rig.accepted(ECHO, b"{}"))
        await until(empty, 20)


async def test_a_queue_is_told_of_an_exception_as_lambda_tells_it() -> None:
    said = {"errorType": "NoTea", "errorMessage": "none left", "stackTrace": ["line 1"]}

    def raising(_: Call) -> web.Response:
        body = {"code": "function-failed", "status": 500, "detail": "it failed", **said}
        return web.json_response(body, status=500, content_type="application/problem+json")

    settings = {"maxAttempts": 1, "onFailure": {"queue": {"name": "failed"}}}
    async with async_rig({"echo": {"async": settings}}, raising) as rig:
        await rig.accepted(ECHO, b"no JSON")
        queues = boto3.client(
            "sqs",
            endpoint_url=rig.events.api_url,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )
        url = await asyncio.to_thread(queues.create_queue, QueueName="shop.failed")
        told = await asyncio.to_thread(
            queues.receive_message, QueueUrl=url["QueueUrl"], WaitTimeSeconds=20
        )
        record = json.loads(told["Messages"][0]["Body"])["data"]
        assert (record["requestPayload"], record["responsePayload"]) == ("no JSON", said)
        assert record["responseContext"] == {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        }


async def test_a_call_that_finds_no_place_waits_until_it_is_too_old() -> None:
    settings = {"maxAgeSeconds": 60, "onFailure": {"function": {"name": "bad"}}}
    specs: dict[str, Any] = {"echo": {"reservedConcurrency": 0, "async": settings}, "bad": {}}
    async with async_rig(specs, answering) as rig:
        await rig.accepted(ECHO, b"tea")
        (told,) = await rig.arrived("bad", 1, seconds=120)
        context = record_of(told)["requestContext"]
        assert (context["condition"], context["approximateInvokeCount"]) == ("EventAgeExceeded", 0)
        assert rig.instances.to("echo") == []


async def test_one_idempotency_key_is_one_call() -> None:
    async with async_rig({"echo": {}}, answering, gateways=2) as rig:
        key = {"Idempotency-Key": "order 7"}
        first = await rig.accepted(ECHO, b"tea", **key)
        second = await rig.accepted(ECHO, b"tea", **key)
        await rig.result(first, gateway=1)
        assert (first == second, len(rig.instances.to("echo"))) == (True, 1)


async def test_a_key_gives_no_other_request_the_result() -> None:
    async with async_rig({"echo": {}}, answering) as rig:
        key = {"Idempotency-Key": "order-7"}
        location = await rig.accepted(f"{ECHO}/pay", b"card 4111", **key)
        uuid.UUID(location.rpartition("/")[2])  # random: nobody finds it from the key
        await rig.result(location)
        for path, body in (("/pay", b"card 5555"), ("/refund", b"card 4111")):
            status, _, told = await rig.send(ECHO + path, body, **key)
            assert (status, json.loads(told)["code"]) == (422, "idempotency-key-reused")
            assert "of its own" in json.loads(told)["detail"]
        assert [each.body for each in rig.instances.to("echo")] == [b"card 4111"]
        status, _, told = await rig.send(ECHO, b"", **{"Idempotency-Key": "k" * 257})
        assert (status, json.loads(told)["code"]) == (400, "malformed-event")


async def test_large_bodies_arrive_and_larger_are_refused() -> None:
    async with async_rig(
        {"echo": {}}, lambda found: web.Response(text=str(len(found.body)))
    ) as rig:
        large = b"x" * (1 << 20)
        assert (await rig.result(await rig.accepted(ECHO, large)))[2] == b"1048576"
        status, _, body = await rig.send(ECHO, b"x" * ((16 << 20) + 1))
        assert (status, json.loads(body)["code"]) == (413, "request-too-large")


async def test_what_was_accepted_outlives_the_events_role_and_its_absence_is_told() -> None:
    gate = asyncio.Event()

    async def answering_late(found: Call) -> web.Response:
        await gate.wait()
        return answering(found)

    async with async_rig({"echo": {}}, answering_late) as rig:
        locations = [await rig.accepted(ECHO, b"%d" % number) for number in range(20)]
        await rig.arrived("echo", 1)
        rig.events.kill()
        status, headers, body = await rig.send(ECHO, b"never")
        assert (status, json.loads(body)["code"]) == (503, "async-unavailable")
        assert headers["Retry-After"] == "1"
        gate.set()
        rig.events.start()
        await rig.events.ready(rig.session)
        results = [(await rig.result(location))[2] for location in locations]
        assert results == [b"got %d" % number for number in range(20)]


async def test_without_an_events_role_it_is_said_what_to_install() -> None:
    platform = ServingPlatform()
    platform.add(function())
    async with real_gateway(platform, api_clients="anyone") as gateway, ClientSession() as session:
        url = f"http://127.0.0.1:{gateway.port}{ECHO}"

        async def told() -> bool:
            async with session.post(url, headers=PREFER) as answer:
                return answer.status == 501 and "events.enabled" in await answer.text()

        await until(told)
        with pytest.raises(ClientError, match=r"ServiceException.*events\.enabled"):
            await asyncio.to_thread(
                call,
                client(f"http://127.0.0.1:{gateway.port}"),
                "invoke",
                FunctionName="shop.echo",
                InvocationType="Event",
            )
    await platform.stop()
