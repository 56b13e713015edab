"""`payload: lambda` of the Python runtime: handlers are called as AWS Lambda would call them."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.integration.runtimes import PYTHON, running
from torpor_runtime.lambda_payload import json_of

TOKEN = "t0ken"
HANDLERS = """
import decimal, os

SEEN_ON_IMPORT = {name: os.environ.get(name) for name in (
    "AWS_LAMBDA_FUNCTION_NAME", "_HANDLER", "LAMBDA_TASK_ROOT", "AWS_EXECUTION_ENV",
    "AWS_REGION", "AWS_DEFAULT_REGION", "TZ",
)}

def echo(event, context):
    return event

def told(event, context):
    return {
        "name": context.function_name, "version": context.function_version,
        "arn": context.invoked_function_arn, "memory": context.memory_limit_in_mb,
        "id": context.aws_request_id, "group": context.log_group_name,
        "left": context.get_remaining_time_in_millis(),
        "identity": context.identity.cognito_identity_id,
        "custom": context.client_context and context.client_context.custom,
        "app": context.client_context and context.client_context.client.app_title,
    }

def environment(event, context):
    return SEEN_ON_IMPORT

def returns(event, context):
    return {
        "nothing": None, "text": "hé", "bytes": b'{"a": 1}', "decimal": decimal.Decimal("1.5"),
        "object": object(), "nan": float("nan"),
    }[event["what"]]

def fails(event, context):
    raise LookupError("no such order")

def answers(event, context):
    return {
        "/full": {
            "statusCode": 201, "headers": {"X-A": 1, "content-type": "text/html"},
            "cookies": ["a=1; Path=/", "b=2"], "body": "<p>",
        },
        "/plain": {"statusCode": "404", "body": "gone"},
        "/empty": {"statusCode": 204},
        "/binary": {"statusCode": 200, "body": "AP8=", "isBase64Encoded": True},
        "/text": "hello",
        "/json": {"a": [1]},
        "/none": None,
        "/object": {"statusCode": 200, "body": {"a": 1}},
        "/bad-base64": {"statusCode": 200, "body": "AP8", "isBase64Encoded": True},
        "/bad-status": {"statusCode": "ok"},
        "/bad-cookies": {"statusCode": 200, "cookies": "a=1"},
    }[event["rawPath"]]

async def later(event, context):
    return {"async": True}
"""


@dataclass
class Function:
    """Speaks to the runtime as a part of the installation, or as anybody else."""

    session: ClientSession
    url: str

    async def invoke(self, payload: bytes, **headers: str) -> tuple[int, bytes, str]:
        sent = {"Torpor-Detail": TOKEN, "X-Request-Id": "r-1", **headers}
        async with self.session.post(self.url, data=payload, headers=sent) as answer:
            return answer.status, await answer.read(), answer.headers.get("Content-Type", "")

    async def event_of(self, path: str, **sent: Any) -> dict[str, Any]:
        method = sent.pop("method", "GET")
        async with self.session.request(method, self.url + path, **sent) as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found


@asynccontextmanager
async def function(folder: Path, handler: str, **extra: str) -> AsyncIterator[Function]:
    given = {"TORPOR_PAYLOAD": "lambda", "TORPOR_DETAIL_TOKEN": TOKEN, **extra}
    async with (
        running(folder, f"main.{handler}", HANDLERS, PYTHON, **given) as runtime,
        ClientSession() as session,
    ):
        yield Function(session, runtime.url)


@pytest.mark.parametrize(
    ("payload", "event"), [(b'{"a": [1, null]}', {"a": [1, None]}), (b"[7]", [7]), (b"", {})]
)
async def test_the_body_of_an_invocation_is_the_event(
    tmp_path: Path, payload: bytes, event: Any
) -> None:
    async with function(tmp_path, "echo") as called:
        status, body, kind = await called.invoke(payload)
    assert (status, json.loads(body), kind) == (200, event, "application/json")


@pytest.mark.parametrize("payload", [b"{", b"\xff", b"[" * 100_000])
async def test_an_invocation_without_json_is_refused(tmp_path: Path, payload: bytes) -> None:
    async with function(tmp_path, "echo") as called:
        status, body, _ = await called.invoke(payload)
    assert (status, json.loads(body)["code"]) == (400, "bad-request")
    assert "the payload of an invocation must be JSON" in json.loads(body)["detail"]


async def test_the_context_is_lambdas(tmp_path: Path) -> None:
    client = {"custom": {"k": "v"}, "client": {"app_title": "till"}}
    sent = base64.b64encode(json.dumps(client).encode()).decode()
    async with function(tmp_path, "told", AWS_LAMBDA_FUNCTION_MEMORY_SIZE="128") as called:
        _, body, _ = await called.invoke(b"{}", **{"X-Amz-Client-Context": sent})
    told = json.loads(body)
    assert 0 < told.pop("left") <= 30_000
    assert told == {
        "name": "echo",
        "version": "$LATEST",
        "arn": "arn:aws:lambda:us-east-1:000000000000:function:shop.echo",
        "memory": "128",
        "id": "r-1",
        "group": "/aws/lambda/echo",
        "identity": None,
        "custom": {"k": "v"},
        "app": "till",
    }


@pytest.mark.parametrize("sent", ["!", "e30", "W10="])
async def test_a_client_context_that_is_none_is_refused(tmp_path: Path, sent: str) -> None:
    async with function(tmp_path, "told") as called:
        status, body, _ = await called.invoke(b"{}", **{"X-Amz-Client-Context": sent})
    assert status == 400
    assert "client context" in json.loads(body)["detail"]


async def test_the_environment_is_lambdas_while_the_code_is_imported(tmp_path: Path) -> None:
    async with function(tmp_path, "environment", AWS_REGION="eu-south-1") as called:
        _, body, _ = await called.invoke(b"{}")
    seen = json.loads(body)
    assert seen.pop("AWS_EXECUTION_ENV").startswith("AWS_Lambda_python3.")
    assert seen == {
        "AWS_LAMBDA_FUNCTION_NAME": "echo",
        "_HANDLER": "main.environment",
        "LAMBDA_TASK_ROOT": str(tmp_path),
        "AWS_REGION": "eu-south-1",
        "AWS_DEFAULT_REGION": "eu-south-1",
        "TZ": "UTC",
    }


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("nothing", b"null"),
        ("text", '"hé"'.encode()),
        ("bytes", b'{"a": 1}'),
        ("decimal", b"1.5"),
    ],
)
async def test_a_result_is_json(tmp_path: Path, what: str, body: bytes) -> None:
    async with function(tmp_path, "returns") as called:
        status, sent, _ = await called.invoke(json.dumps({"what": what}).encode())
    assert (status, sent) == (200, body)


@pytest.mark.parametrize("what", ["object", "nan"])
async def test_a_result_that_is_no_json_is_a_marshal_error(tmp_path: Path, what: str) -> None:
    async with function(tmp_path, "returns") as called:
        status, sent, _ = await called.invoke(json.dumps({"what": what}).encode())
    problem = json.loads(sent)
    assert (status, problem["errorType"]) == (500, "Runtime.MarshalError")
    assert problem["errorMessage"].startswith("Unable to marshal response: ")


async def test_an_exception_tells_an_invoker_all_and_anybody_else_its_class(tmp_path: Path) -> None:
    async with function(tmp_path, "fails") as called:
        status, body, _ = await called.invoke(b"{}")
        async with called.session.get(called.url, headers={"Torpor-Detail": "wrong"}) as answer:
            public = await answer.json(content_type="application/problem+json")
    told = json.loads(body)
    assert (status, told["errorType"], told["errorMessage"]) == (
        500,
        "LookupError",
        "no such order",
    )
    assert "in fails" in told["stackTrace"][-1]
    assert (answer.status, public["errorType"]) == (500, "LookupError")
    assert "no such order" not in json.dumps(public)


async def test_a_request_is_an_event_of_format_2(tmp_path: Path) -> None:
    headers = {
        "X-Mine": "Yes",
        "Cookie": "a=1; b=2",
        "X-Forwarded-For": "6.6.6.6, 10.0.0.9",
        "User-Agent": "curl/8",
        "X-Request-Id": "r-2",
        "Host": "api.example.com",
    }
    async with function(tmp_path, "echo") as called:
        event = await called.event_of("/a%20b/c?x=1&y=%C3%A9&x=2", headers=headers)
    context = event.pop("requestContext")
    assert {"x-mine": "Yes", "host": "api.example.com"}.items() <= event.pop("headers").items()
    assert event == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/a%20b/c",
        "rawQueryString": "x=1&y=%C3%A9&x=2",
        "cookies": ["a=1", "b=2"],
        "queryStringParameters": {"x": "1,2", "y": "é"},
        "isBase64Encoded": False,
    }
    assert context["http"] == {
        "method": "GET",
        "path": "/a%20b/c",
        "protocol": "HTTP/1.1",
        "sourceIp": "10.0.0.9",
        "userAgent": "curl/8",
    }
    assert (context["domainName"], context["requestId"]) == ("api.example.com", "r-2")
    assert (context["stage"], context["timeEpoch"] > 1_600_000_000_000) == ("$default", True)


@pytest.mark.parametrize(
    ("kind", "body", "packed"),
    [
        ("application/json; charset=utf-8", '{"é": 1}'.encode(), False),
        ("application/vnd.api+json", b"{}", False),
        ("text/csv", b"a,b", False),
        ("text/plain", b"\xff", True),
        ("application/x-www-form-urlencoded", b"a=b", True),
        ("image/png", b"\x89PNG", True),
    ],
)
async def test_a_body_that_is_no_text_is_in_base64(
    tmp_path: Path, kind: str, body: bytes, packed: bool
) -> None:
    async with function(tmp_path, "echo") as called:
        event = await called.event_of("/", method="POST", data=body, headers={"Content-Type": kind})
    sent = base64.b64decode(event["body"]) if packed else event["body"].encode()
    assert (event["isBase64Encoded"], sent) == (packed, body)


@pytest.mark.parametrize(
    ("path", "status", "kind", "body"),
    [
        ("/full", 201, "text/html", b"<p>"),
        ("/plain", 404, "text/plain; charset=utf-8", b"gone"),
        ("/empty", 204, "text/plain; charset=utf-8", b""),
        ("/binary", 200, "text/plain; charset=utf-8", b"\x00\xff"),
        ("/text", 200, "application/json", b"hello"),
        ("/json", 200, "application/json", b'{"a": [1]}'),
        ("/none", 200, "application/json", b"null"),
    ],
)
async def test_a_result_is_an_answer(
    tmp_path: Path, path: str, status: int, kind: str, body: bytes
) -> None:
    async with (
        function(tmp_path, "answers") as called,
        called.session.get(called.url + path) as answer,
    ):
        sent = await answer.read()
    assert (answer.status, answer.headers["Content-Type"], sent) == (status, kind, body)
    if path == "/full":
        assert answer.headers["X-A"] == "1"
        assert answer.headers.getall("Set-Cookie") == ["a=1; Path=/", "b=2"]


@pytest.mark.parametrize("path", ["/object", "/bad-base64", "/bad-status", "/bad-cookies"])
async def test_a_result_that_is_no_answer_is_a_failure(tmp_path: Path, path: str) -> None:
    async with (
        function(tmp_path, "answers") as called,
        called.session.get(called.url + path) as answer,
    ):
        problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["errorType"]) == (500, "BadReturn")


async def test_an_async_handler_is_awaited(tmp_path: Path) -> None:
    async with function(tmp_path, "later") as called:
        _, body, _ = await called.invoke(b"{}")
    assert json.loads(body) == {"async": True}


async def test_a_handler_may_be_in_a_folder_as_lambda_names_it(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "get-item.py").write_text("def handler(event, context): return 'found'")
    given = {"TORPOR_PAYLOAD": "lambda", "TORPOR_DETAIL_TOKEN": TOKEN}
    async with (
        running(tmp_path, "src/get-item.handler", "", PYTHON, **given) as runtime,
        ClientSession() as session,
    ):
        _, body, _ = await Function(session, runtime.url).invoke(b"{}")
    assert body == b'"found"'


def test_a_result_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(TypeError, match="Unable to marshal response"):
        json_of(endless)
