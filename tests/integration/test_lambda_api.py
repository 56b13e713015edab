"""Functions called by a real boto3 client, through a real data plane, in a real runtime."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession

from tests.integration.runtimes import NODE, PYTHON, Language, in_both, running
from tests.support.fake_platform import function
from tests.support.haproxy import Function, needs_haproxy, open_lane, receive, send, until
from tests.support.lambda_rig import SECRETS, Rig, Stored, call, client, context, lambda_rig
from tests.support.real_gateway import RealGateway, ServingPlatform, real_gateway
from torpor.aws.access import Access
from torpor.gateway.dataplane.base import Refused, Server
from torpor.gateway.lambda_api.errors import MOST_ASYNCHRONOUS_BYTES, MOST_BYTES
from torpor.gateway.lambda_api.serving import access_of
from torpor.gateway.terms import Terms
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import detail_token
from torpor.settings import BadSetting, GatewaySettings
from torpor.telemetry.metrics import REGISTRY

KEY = b"k" * 32
ECHO = FunctionKey("shop", "echo")
ARN = "arn:aws:lambda:us-east-1:000000000000:function:shop.echo"
TERMS = Terms.of(function(timeoutSeconds=1))
PLANES = [pytest.param(True, marks=needs_haproxy, id="haproxy"), pytest.param(False, id="python")]
HANDLERS = """
import os, time

class OutOfStock(Exception):
    pass

def streamed(breaks):
    yield "one"
    time.sleep(0.3)
    if breaks:
        raise OutOfStock("no more tea")
    yield "two"

def handler(event, context):
    asked = event.json()
    match asked.get("do"):
        case "raise":
            raise OutOfStock("no more tea")
        case "sleep":
            time.sleep(3)
        case "exit":
            os._exit(3)
        case "nothing":
            return None
        case "status":
            return 422, "not like this"
        case "handled":
            answer = {"errorType": "Mine", "errorMessage": "said so"}
            return 200, {"X-Amz-Function-Error": "Handled"}, answer
        case "long":
            return "a" * (6 * 1024 * 1024 + 1)
        case "stream":
            return streamed(asked.get("break"))
        case "headers":
            return dict(event.headers)
    return {"method": event.method, "path": event.path, "got": asked}
"""


def refusals(code: str) -> float:
    """How many calls this process has refused with a code, as Prometheus is told."""
    return REGISTRY.get_sample_value("torpor_lambda_api_refused_total", {"code": code}) or 0.0


@asynccontextmanager
async def awake(
    folder: Path,
    *,
    code: str = HANDLERS,
    language: Language = PYTHON,
    payload: str = "raw",
    haproxy: bool = True,
    **api: Any,
) -> AsyncIterator[Rig]:
    """The API with `shop/echo` awake in a runtime of its own."""
    environment = {
        "TORPOR_DETAIL_TOKEN": detail_token(KEY, ECHO),
        "TORPOR_TIMEOUT_SECONDS": "1",
        "TORPOR_PAYLOAD": payload,
    }
    async with (
        running(folder, "main.handler", code, language, **environment) as runtime,
        lambda_rig({ECHO: TERMS}, key=KEY, haproxy=haproxy, **api) as rig,
    ):
        server = Server("one", "127.0.0.1", runtime.port, 10)
        await rig.plane.apply(ECHO, open_lane(server, timeout_seconds=TERMS.timeout_seconds))
        yield rig


@pytest.mark.parametrize("haproxy", PLANES)
async def test_the_function_gets_the_payload_and_its_answer_is_the_result(
    tmp_path: Path, haproxy: bool
) -> None:
    async with awake(tmp_path, haproxy=haproxy) as rig:
        answer = await rig.call("invoke", FunctionName="shop.echo", Payload=b'{"n": 1}')
        assert answer["StatusCode"] == 200
        assert answer["ExecutedVersion"] == "$LATEST"
        assert "FunctionError" not in answer
        assert json.loads(answer["Payload"]) == {"method": "POST", "path": "/", "got": {"n": 1}}
        assert answer["ResponseMetadata"]["RequestId"]


@needs_haproxy
@pytest.mark.parametrize(
    "name",
    ["shop.echo", "shop.echo:$LATEST", "000000000000:function:shop.echo", ARN, f"{ARN}:$LATEST"],
)
async def test_a_function_is_found_by_each_form_of_its_name(tmp_path: Path, name: str) -> None:
    async with lambda_rig({ECHO: TERMS}) as rig:
        answer = await rig.call("invoke", FunctionName=name, InvocationType="DryRun")
        assert answer["StatusCode"] == 204


@needs_haproxy
async def test_a_name_without_a_namespace_is_of_the_default_one() -> None:
    async with lambda_rig({FunctionKey("default", "tea"): TERMS}) as rig:
        answer = await rig.call(
            "invoke", FunctionName="tea", InvocationType="DryRun", Qualifier="$LATEST"
        )
        assert answer["StatusCode"] == 204


AS_ON_LAMBDA = {
    PYTHON: """
def handler(event, context):
    if event["fail"]:
        raise ValueError("not today")
    return [event, context.invoked_function_arn, context.client_context.custom,
            context.aws_request_id]
""",
    NODE: """
exports.handler = async (event, context) => {
  if (event.fail) throw new RangeError("not today");
  return [event, context.invokedFunctionArn, context.clientContext.custom, context.awsRequestId];
};
""",
}


@needs_haproxy
@in_both
async def test_a_handler_written_for_lambda_is_called_as_there(
    tmp_path: Path, language: Language
) -> None:
    code = AS_ON_LAMBDA[language]
    async with awake(tmp_path, code=code, language=language, payload="lambda") as rig:
        answer = await rig.call(
            "invoke",
            FunctionName=ARN,
            Payload=b'{"fail": false}',
            ClientContext=context({"custom": {"tenant": "blue"}}),
        )
        request_id = answer["ResponseMetadata"]["RequestId"]
        told = json.loads(answer["Payload"])
        assert told == [{"fail": False}, ARN, {"tenant": "blue"}, request_id]
        failed = await rig.call("invoke", FunctionName=ARN, Payload=b'{"fail": true}')
        assert failed["FunctionError"] == "Unhandled"
        error = json.loads(failed["Payload"])
        assert error["errorType"] in ("ValueError", "RangeError")
        assert (error["errorMessage"], bool(error["stackTrace"])) == ("not today", True)


@needs_haproxy
async def test_what_a_failing_function_says_is_the_result(tmp_path: Path) -> None:
    async with awake(tmp_path) as rig:
        answer = await rig.call("invoke", FunctionName="shop.echo", Payload=b'{"do": "raise"}')
        assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
        told = json.loads(answer["Payload"])
        assert (told["errorType"], told["errorMessage"]) == ("OutOfStock", "no more tea")
        assert 'raise OutOfStock("no more tea")' in "".join(told["stackTrace"])
        assert told["requestId"] == answer["ResponseMetadata"]["RequestId"]


@needs_haproxy
@pytest.mark.parametrize(
    ("do", "error", "kind", "says"),
    [
        ("sleep", "Unhandled", "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
        ("exit", "Unhandled", "Runtime.ExitError", "Error: "),
        ("long", "Unhandled", "Function.ResponseSizeTooLarge", "6291456 bytes"),
        ("status", "Handled", "HTTPError", "status 422: not like this"),
        ("handled", "Handled", "Mine", "said so"),
    ],
)
async def test_every_way_to_fail_is_told_as_on_lambda(
    tmp_path: Path, do: str, error: str, kind: str, says: str
) -> None:
    async with awake(tmp_path) as rig:
        payload = json.dumps({"do": do}).encode()
        answer = await rig.call("invoke", FunctionName="shop.echo", Payload=payload)
        told = json.loads(answer["Payload"])
        assert (answer["StatusCode"], answer["FunctionError"]) == (200, error)
        assert told["errorType"] == kind
        assert says in told["errorMessage"]


@needs_haproxy
async def test_nothing_is_null_and_no_payload_is_an_empty_event(tmp_path: Path) -> None:
    async with awake(tmp_path) as rig:
        nothing = await rig.call("invoke", FunctionName="shop.echo", Payload=b'{"do": "nothing"}')
        assert nothing["Payload"] == b"null"
        empty = await rig.call("invoke", FunctionName="shop.echo")
        assert json.loads(empty["Payload"])["got"] == {}


def events_of(url: str, payload: dict[str, Any]) -> tuple[list[dict[str, Any]], list[float]]:
    """The events of a streamed answer, and when each of them came."""
    answer = client(url).invoke_with_response_stream(
        FunctionName="shop.echo", Payload=json.dumps(payload).encode()
    )
    assert answer["ExecutedVersion"] == "$LATEST"
    found, times = [], []
    for event in answer["EventStream"]:
        found.append(event)
        times.append(time.monotonic())
    return found, times


@pytest.mark.parametrize("haproxy", PLANES)
async def test_an_answer_is_streamed_part_by_part(tmp_path: Path, haproxy: bool) -> None:
    async with awake(tmp_path, haproxy=haproxy) as rig:
        found, times = await asyncio.to_thread(events_of, rig.url, {"do": "stream"})
        one, two, end = found
        assert (one["PayloadChunk"], two["PayloadChunk"]) == (
            {"Payload": b"one"},
            {"Payload": b"two"},
        )
        assert end == {"InvokeComplete": {}}
        assert times[1] - times[0] > 0.2


@needs_haproxy
@pytest.mark.parametrize(
    ("payload", "parts", "code"),
    [
        ({"do": "stream", "break": True}, 1, "Function.ResponseCut"),
        ({"do": "raise"}, 0, "OutOfStock"),
        ({"do": "sleep"}, 0, "Sandbox.Timedout"),
        ({"do": "handled"}, 0, "Mine"),
    ],
)
async def test_the_last_event_of_a_stream_says_what_went_wrong(
    tmp_path: Path, payload: dict[str, Any], parts: int, code: str
) -> None:
    async with awake(tmp_path) as rig:
        found, _ = await asyncio.to_thread(events_of, rig.url, payload)
        assert len(found) == parts + 1
        assert found[-1]["InvokeComplete"]["ErrorCode"] == code
        assert found[-1]["InvokeComplete"]["ErrorDetails"]


@needs_haproxy
async def test_a_stream_that_cannot_begin_is_refused_as_a_call_is() -> None:
    async with lambda_rig({ECHO: TERMS}) as rig:
        stream = "invoke_with_response_stream"
        unknown = await rig.refused(stream, FunctionName="shop.tea")
        assert unknown.response["Error"]["Code"] == "ResourceNotFoundException"
        rig.holder.answer(ECHO, Refused(503, "cannot-start", "CrashLoopBackOff", 5))
        error = await rig.refused(stream, FunctionName="shop.echo")
        assert error.response["Error"]["Code"] == "ResourceNotReadyException"


@needs_haproxy
async def test_the_client_context_reaches_the_function_and_the_signature_does_not(
    tmp_path: Path,
) -> None:
    given = context({"custom": {"tenant": "blue"}})
    async with awake(tmp_path) as rig:
        answer = await rig.call(
            "invoke",
            FunctionName="shop.echo",
            Payload=b'{"do": "headers"}',
            ClientContext=given,
            LogType="Tail",
        )
        seen = json.loads(answer["Payload"])
        assert seen["x-amz-client-context"] == given
        assert "authorization" not in seen
        assert seen["x-request-id"] == answer["ResponseMetadata"]["RequestId"]
        assert seen["tracestate"] == "torpor=begun", "nobody told the span that it is below"
        assert "LogResult" not in answer


@needs_haproxy
@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        ({"FunctionName": "shop.tea"}, "ResourceNotFoundException", 404),
        ({"FunctionName": "shop.echo", "Qualifier": "7"}, "ResourceNotFoundException", 404),
        ({"FunctionName": "shop/echo"}, "ValidationException", 400),
        (
            {"FunctionName": "shop.echo", "Payload": b"{tea"},
            "InvalidRequestContentException",
            400,
        ),
        (
            {"FunctionName": "shop.echo", "ClientContext": "e30"},
            "InvalidRequestContentException",
            400,
        ),
        (
            {"FunctionName": "shop.echo", "ClientContext": context([])},
            "InvalidRequestContentException",
            400,
        ),
        (
            {"FunctionName": "shop.echo", "InvocationType": "Later"},
            "InvalidParameterValueException",
            400,
        ),
        (
            {"FunctionName": "shop.echo", "LogType": "All"},
            "InvalidParameterValueException",
            400,
        ),
        (
            {"FunctionName": "shop.echo", "Payload": b" " * MOST_BYTES + b"{}"},
            "RequestTooLargeException",
            413,
        ),
        (
            {
                "FunctionName": "shop.echo",
                "InvocationType": "Event",
                "Payload": b" " * MOST_ASYNCHRONOUS_BYTES + b"{}",
            },
            "RequestTooLargeException",
            413,
        ),
        ({"FunctionName": "shop.echo", "InvocationType": "Event"}, "ServiceException", 503),
    ],
)
async def test_what_cannot_be_done_is_refused_in_words_that_boto3_knows(
    arguments: dict[str, Any], code: str, status: int
) -> None:
    before = refusals(code)
    async with lambda_rig({ECHO: TERMS}) as rig:
        error = await rig.refused("invoke", **arguments)
        assert error.response["Error"]["Code"] == code
        assert refusals(code) == before + 1
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status
        assert error.response["Error"]["Message"]


@needs_haproxy
async def test_the_longest_payload_arrives(tmp_path: Path) -> None:
    payload = b'{"do": "nothing", "x": "' + b"x" * (MOST_BYTES - 26) + b'"}'
    async with awake(tmp_path) as rig:
        answer = await rig.call("invoke", FunctionName="shop.echo", Payload=payload)
        assert (len(payload), answer["Payload"]) == (MOST_BYTES, b"null")


@needs_haproxy
@pytest.mark.parametrize(
    ("refusal", "code", "status"),
    [
        (Refused(503, "cannot-start", "ImagePullBackOff", 5), "ResourceNotReadyException", 502),
        (Refused(503, "hold-timeout", "not in 60 s", 1), "ResourceNotReadyException", 502),
        (Refused(503, "hold-full", "10 wait", 1), "ServiceException", 503),
        (Refused(404, "unknown-function", "gone"), "ResourceNotFoundException", 404),
        (Refused(429, "reserved-concurrency", "2 run", 1), "TooManyRequestsException", 429),
    ],
)
async def test_what_the_gateway_refuses_is_told_with_its_reason(
    refusal: Refused, code: str, status: int
) -> None:
    async with lambda_rig({ECHO: TERMS}) as rig:
        rig.holder.answer(ECHO, refusal)
        error = await rig.refused("invoke", FunctionName="shop.echo")
        told = error.response
        assert (told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
        expected = f"Function not found: {ARN}" if status == 404 else refusal.detail
        assert told["Error"]["Message"] == expected
        if status == 429:
            assert told["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        if refusal.retry_after_seconds:
            headers = told["ResponseMetadata"]["HTTPHeaders"]
            assert headers["retry-after"] == str(refusal.retry_after_seconds)


@needs_haproxy
async def test_an_event_is_taken_and_answered_at_once() -> None:
    stored = Stored()
    async with lambda_rig({ECHO: TERMS}, asynchronous=stored) as rig:
        answer = await rig.call(
            "invoke", FunctionName="shop.echo", InvocationType="Event", Payload=b'{"n": 1}'
        )
        assert (answer["StatusCode"], answer["Payload"]) == (202, b"")
        old = await rig.call("invoke_async", FunctionName="shop.echo", InvokeArgs=b'{"n": 2}')
        assert old["Status"] == 202
    assert [(item.function, item.payload) for item in stored.calls] == [
        (ECHO, b'{"n": 1}'),
        (ECHO, b'{"n": 2}'),
    ]


@needs_haproxy
async def test_only_who_signs_with_a_known_key_is_let_in() -> None:
    async with lambda_rig({ECHO: TERMS}) as rig:
        forged = client(rig.url, secret="another")
        arguments = {"FunctionName": ARN, "InvocationType": "DryRun"}
        with pytest.raises(forged.exceptions.ClientError, match="InvalidSignatureException"):
            await asyncio.to_thread(call, forged, "invoke", **arguments)
        async with (
            ClientSession() as session,
            session.post(f"{rig.url}/2015-03-31/functions/shop.echo/invocations") as unsigned,
        ):
            assert unsigned.status == 400
            assert unsigned.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"
        assert (await rig.call("invoke", **arguments))["StatusCode"] == 204


@needs_haproxy
async def test_who_shows_nothing_is_refused_before_anything_is_read() -> None:
    async with lambda_rig({ECHO: TERMS}) as rig:
        head = b"POST /2015-03-31/functions/shop.echo/invocations HTTP/1.1\r\nHost: any\r\n"
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.plane.port)
            writer.write(head + b"Content-Length: 6000000\r\n\r\n{")
            reply = await receive(reader)
            writer.close()
        assert reply.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"


@needs_haproxy
async def test_a_caller_who_leaves_frees_the_place() -> None:
    gate = asyncio.Event()
    async with Function("one", gate=gate) as one, lambda_rig({ECHO: TERMS}, access=Access()) as rig:
        await rig.plane.apply(ECHO, open_lane(one.server(1)))
        path = "/2015-03-31/functions/shop.echo/invocations"
        leaving = asyncio.create_task(send(rig.plane.port, path, method="POST", host="any"))
        await until(lambda: one.now == 1)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        async with asyncio.timeout(5):
            while (await rig.plane.loads())[ECHO].in_flight:  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.02)
        gate.set()


@needs_haproxy
async def test_while_no_client_is_known_nobody_is_let_in() -> None:
    async with lambda_rig({ECHO: TERMS}, access=None) as rig:
        error = await rig.refused("invoke", FunctionName="shop.echo", InvocationType="DryRun")
        assert error.response["Error"]["Code"] == "AccessDeniedException"
        message = error.response["Error"]["Message"]
        assert "gateway.api.secretName (TORPOR_ACCESS_KEYS, TORPOR_API_TOKEN)" in message


@needs_haproxy
async def test_functions_are_listed_in_pages_and_found() -> None:
    known = {FunctionKey("shop", f"tea-{number:02}"): TERMS for number in range(60)}
    async with lambda_rig(known) as rig:
        first = await rig.call("list_functions", MaxItems=50)
        rest = await rig.call("list_functions", Marker=first["NextMarker"])
        names = [item["FunctionName"] for item in (*first["Functions"], *rest["Functions"])]
        assert names == [f"shop.tea-{number:02}" for number in range(60)]
        assert "NextMarker" not in rest
        found = await rig.call("get_function", FunctionName="shop.tea-07")
        assert found["Configuration"]["Timeout"] == 1
        unknown = await rig.refused("get_function", FunctionName="shop.coffee")
        assert unknown.response["Error"]["Code"] == "ResourceNotFoundException"
        missing = await rig.refused("delete_function", FunctionName="shop.tea-07")
        assert missing.response["Error"]["Code"] == "UnknownOperationException"


@needs_haproxy
async def test_a_function_has_these_paths_at_its_own_host(tmp_path: Path) -> None:
    async with awake(tmp_path) as rig, ClientSession() as session:
        path = f"{rig.url}/2015-03-31/functions/shop.echo/invocations"
        host = {"Host": "echo.shop.localhost"}
        async with session.post(path, json={}, headers=host) as answer:
            assert (await answer.json())["path"] == "/2015-03-31/functions/shop.echo/invocations"


@needs_haproxy
async def test_payloads_are_bounded_all_together() -> None:
    async with lambda_rig({ECHO: TERMS}, memory_bytes=1024 * 1024) as rig:
        big = b" " * 1024 * 1024 + b"{}"
        error = await rig.refused("invoke", FunctionName="shop.echo", Payload=big)
        assert error.response["Error"]["Code"] == "TooManyRequestsException"
        small = await rig.call("invoke", FunctionName="shop.echo", InvocationType="DryRun")
        assert small["StatusCode"] == 204


@needs_haproxy
async def test_results_are_bounded_all_together(tmp_path: Path) -> None:
    """A result has its room until its caller has read it, however short the payload was."""
    code = 'def handler(event, context):\n    return "a" * 5_000_000\n'
    path = "/2015-03-31/functions/shop.echo/invocations"
    async with (
        awake(tmp_path, code=code, access=Access(), memory_bytes=8_000_000) as rig,
        ClientSession(rig.url, read_bufsize=1024) as session,
        session.post(path, data=b"{}") as slow,
    ):
        assert slow.status == 200
        other = asyncio.create_task(session.post(path, data=b"{}"))
        done, _ = await asyncio.wait([other], timeout=2)
        assert not done, "it waits for room"
        assert len(await slow.read()) == 5_000_000
        async with await other as answer:
            assert (answer.status, len(await answer.read())) == (200, 5_000_000)


async def test_a_connection_that_is_kept_holds_on_to_no_large_call(tmp_path: Path) -> None:
    code = """
def handler(event, context):
    return "1" if event.body == b"1" else "a" * 99_999
"""
    large = json.dumps("b" * 99_999).encode()
    async with (
        awake(tmp_path, code=code, haproxy=False, access=Access()) as rig,
        ClientSession(rig.lambda_url) as session,
    ):
        path = "/2015-03-31/functions/shop.echo/invocations"
        for payload, result_bytes in ((b"1", 1), (b"2", 99_999), (large, 99_999)):
            async with session.post(path, data=payload) as answer:
                assert (answer.status, len(await answer.read())) == (200, result_bytes)
                closes = answer.headers.get("Connection") == "close"
                assert closes == (result_bytes > 1)


@asynccontextmanager
async def whole_gateway(reserved: int = 10, **settings: Any) -> AsyncIterator[RealGateway]:
    platform = ServingPlatform()
    platform.add(function(reservedConcurrency=reserved))
    async with real_gateway(platform, **settings) as gateway:
        async with asyncio.timeout(10), ClientSession() as session:
            while not await is_ready(session, gateway):  # noqa: ASYNC110 - another decides
                await asyncio.sleep(0.02)
        yield gateway
    await platform.stop()


async def is_ready(session: ClientSession, gateway: RealGateway) -> bool:
    with contextlib.suppress(ClientConnectionError):
        async with session.get(f"{gateway.health}/readyz") as answer:
            return answer.status == 200
    return False


@needs_haproxy
async def test_a_call_wakes_a_function_of_a_whole_gateway() -> None:
    async with whole_gateway(access_keys=SECRETS) as gateway:
        boto = client(f"http://127.0.0.1:{gateway.port}")
        answer = await asyncio.to_thread(call, boto, "invoke", FunctionName="shop.echo")
        assert (answer["StatusCode"], answer["Payload"]) == (200, b"echo-1")


@needs_haproxy
async def test_a_call_that_is_in_flight_when_the_gateway_ends_is_answered() -> None:
    platform = ServingPlatform(serves_seconds=6)
    platform.add(function())
    async with real_gateway(platform, drain_seconds=4, api_clients="anyone") as gateway:
        boto = client(f"http://127.0.0.1:{gateway.port}")
        async with asyncio.timeout(10), ClientSession() as session:
            while not await is_ready(session, gateway):  # noqa: ASYNC110 - another decides
                await asyncio.sleep(0.02)
        arguments = {"FunctionName": "shop.echo"}
        calling = asyncio.create_task(asyncio.to_thread(call, boto, "invoke", **arguments))
        await until(lambda: any(server.now for server in platform.servers.values()))
        gateway.stop.set()
        assert (await calling)["Payload"] == b"echo-1"
    await platform.stop()


@needs_haproxy
async def test_reserved_concurrency_is_told_as_lambda_tells_it() -> None:
    async with whole_gateway(reserved=0, api_clients="anyone", account="123456789012") as gateway:
        boto = client(f"http://127.0.0.1:{gateway.port}")
        with pytest.raises(boto.exceptions.TooManyRequestsException) as over:
            await asyncio.to_thread(call, boto, "invoke", FunctionName="shop.echo")
        reason = over.value.response["Reason"]
        assert reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
        with pytest.raises(boto.exceptions.ResourceNotFoundException, match="123456789012"):
            await asyncio.to_thread(call, boto, "invoke", FunctionName="shop.tea")


@needs_haproxy
async def test_a_gateway_lets_nobody_in_unless_it_is_told_whom() -> None:
    async with whole_gateway() as gateway:
        boto = client(f"http://127.0.0.1:{gateway.port}")
        with pytest.raises(boto.exceptions.ClientError, match="TORPOR_API_CLIENTS=anyone"):
            await asyncio.to_thread(call, boto, "invoke", FunctionName="shop.echo")


def test_a_setting_that_is_neither_is_told() -> None:
    with pytest.raises(BadSetting, match="neither anyone nor known"):
        access_of(GatewaySettings(api_clients="everyone"))
