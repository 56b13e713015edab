"""`payload: cloudevents` and `payload: lambda` of the runtime of Node.js."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.integration.runtimes import NODE, needs_node, running

pytestmark = needs_node

TOKEN = "t0ken"
STRUCTURED = "application/cloudevents+json"
EVENT = {"id": "7", "source": "/orders", "type": "order.paid", "specversion": "1.0"}
BINARY = {f"ce-{name}": value for name, value in EVENT.items()}
Ask = Callable[..., Any]


@asynccontextmanager
async def asking(folder: Path, code: str, payload: str) -> AsyncIterator[Ask]:
    """Yield what sends a request to the handler, and returns status, headers and body."""
    extra = {"TORPOR_PAYLOAD": payload, "TORPOR_DETAIL_TOKEN": TOKEN}
    async with (
        running(folder, "main.handler", code, NODE, **extra) as runtime,
        ClientSession() as session,
    ):

        async def ask(body: bytes = b"", path: str = "/", **headers: str) -> Any:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            async with session.post(runtime.url + path, data=body, headers=sent) as answer:
                return answer.status, answer.headers.copy(), await answer.read()

        yield ask


SHOWS_EVENT = """
const shown = (event) => ({ ...event, data: Buffer.isBuffer(event.data)
  ? event.data.toString('hex') : event.data ?? null });
exports.handler = (event) => JSON.stringify(
  Array.isArray(event) ? event.map(shown) : shown(event));
"""


@pytest.mark.parametrize(
    ("headers", "body", "shown"),
    [
        (
            {**BINARY, "Content-Type": "application/json", "ce-subject": "%C3%A9"},
            b'{"a": 1}',
            {**EVENT, "datacontenttype": "application/json", "subject": "é", "data": {"a": 1}},
        ),
        (
            {**BINARY, "Content-Type": "text/plain"},
            b"hi",
            {**EVENT, "datacontenttype": "text/plain", "data": "hi"},
        ),
        (
            {**BINARY, "Content-Type": "image/png"},
            b"\x89",
            {**EVENT, "datacontenttype": "image/png", "data": "89"},
        ),
        (
            {"Content-Type": STRUCTURED},
            json.dumps({**EVENT, "data": [1]}).encode(),
            {**EVENT, "data": [1]},
        ),
        (
            {"Content-Type": STRUCTURED},
            json.dumps({**EVENT, "data_base64": "/w=="}).encode(),
            {**EVENT, "data": "ff"},
        ),
        (
            {"Content-Type": "application/cloudevents-batch+json"},
            json.dumps([EVENT, EVENT]).encode(),
            [{**EVENT, "data": None}] * 2,
        ),
    ],
)
async def test_a_handler_is_given_events(
    tmp_path: Path, headers: dict[str, str], body: bytes, shown: Any
) -> None:
    async with asking(tmp_path, SHOWS_EVENT, "cloudevents") as ask:
        status, _, told = await ask(body, **headers)
    assert (status, json.loads(told)) == (200, shown)


@pytest.mark.parametrize(
    ("headers", "body", "detail"),
    [
        ({}, b"{}", "not a CloudEvent: send ce-id"),
        ({**BINARY, "ce-id": ""}, b"{}", "it has no id"),
        ({**BINARY, "ce-specversion": "0.3"}, b"{}", "specversion must be 1.0"),
        ({**BINARY, "Content-Type": "application/json"}, b"{", "data of application/json must be"),
        ({"Content-Type": STRUCTURED}, b"[]", "must be an object"),
        (
            {"Content-Type": STRUCTURED},
            json.dumps({**EVENT, "data_base64": "AP8"}).encode(),
            "data_base64 is no base64",
        ),
    ],
)
async def test_what_is_no_event_is_refused(
    tmp_path: Path, headers: dict[str, str], body: bytes, detail: str
) -> None:
    async with asking(tmp_path, SHOWS_EVENT, "cloudevents") as ask:
        status, _, told = await ask(body, **headers)
    assert (status, json.loads(told)["code"]) == (400, "bad-request")
    assert detail in json.loads(told)["detail"]


async def test_an_event_is_answered_in_binary_mode(tmp_path: Path) -> None:
    code = "exports.handler = (event) => ({ ...event, subject: 'é', data: { a: event.data } });"
    async with asking(tmp_path, code, "cloudevents") as ask:
        status, headers, body = await ask(b"hi", **{**BINARY, "Content-Type": "text/plain"})
        assert status == 500  # data of text/plain must be text
        status, headers, body = await ask(b"1", **{**BINARY, "Content-Type": "application/json"})
    assert (status, json.loads(body)) == (200, {"a": 1})
    assert (headers["ce-id"], headers["ce-subject"]) == ("7", "%C3%A9")


LAMBDA = """
const seen = process.env.AWS_LAMBDA_FUNCTION_NAME;
const styles = {
  async: async (event) => event,
  callback: (event, context, callback) => { setTimeout(() => callback(null, event), 1); },
  succeed: (event, context) => { setTimeout(() => context.succeed(event), 1); },
  plain: (event) => event,
  nothing: () => {},
};
exports.handler = STYLE;
"""


@pytest.mark.parametrize(
    ("style", "result"),
    [
        ("styles.async", {"a": 1}),
        ("styles.callback", {"a": 1}),
        ("styles.succeed", {"a": 1}),
        ("styles.plain", {"a": 1}),
        ("styles.nothing", None),
        ("async () => undefined", None),
        ("async (e, c) => [seen, c.functionName, c.awsRequestId]", ["echo", "echo", "r-1"]),
        (
            "async (e, c) => c.invokedFunctionArn",
            "arn:aws:lambda:us-east-1:000000000000:function:shop.echo",
        ),
        ("async (e, c) => c.getRemainingTimeInMillis() > 1000", True),
        ("async (e, c) => c.clientContext?.custom.k", "v"),
        ("async () => process.env.TORPOR_DETAIL_TOKEN === undefined", True),
    ],
)
async def test_an_invocation_has_the_result_of_every_style(
    tmp_path: Path, style: str, result: Any
) -> None:
    client = base64.b64encode(b'{"custom": {"k": "v"}}').decode()
    headers = {"Torpor-Detail": TOKEN, "X-Request-Id": "r-1", "X-Amz-Client-Context": client}
    async with asking(tmp_path, LAMBDA.replace("STYLE", style), "lambda") as ask:
        status, sent, body = await ask(b'{"a": 1}', **headers)
    assert (status, sent["Content-Type"], json.loads(body)) == (200, "application/json", result)


@pytest.mark.parametrize(
    ("style", "kind", "message"),
    [
        ("async () => { throw new RangeError('why') }", "RangeError", "why"),
        ("(e, c, done) => done(new TypeError('why'))", "TypeError", "why"),
        ("(e, c) => c.fail('why')", "string", "why"),
        ("async () => ({ n: 1n })", "Runtime.MarshalError", "Unable to marshal response"),
    ],
)
async def test_who_invokes_is_told_why_it_failed(
    tmp_path: Path, style: str, kind: str, message: str
) -> None:
    async with asking(tmp_path, LAMBDA.replace("STYLE", style), "lambda") as ask:
        status, _, body = await ask(b"{}", **{"Torpor-Detail": TOKEN})
        told = json.loads(body)
        _, _, public = await ask(b"{}")
    assert (status, told["errorType"]) == (500, kind)
    assert message in told["errorMessage"]
    assert "stackTrace" in told
    assert "errorMessage" not in json.loads(public)


async def test_a_request_is_an_event_of_format_2(tmp_path: Path) -> None:
    async with asking(tmp_path, "exports.handler = async (event) => event;", "lambda") as ask:
        headers = {"Content-Type": "application/json", "Cookie": "a=1; b=2", "X-A": "é"}
        _, _, body = await ask(b'{"n": 1}', "/a%20b?c=1&c=2&d=%20", **headers)
        _, _, binary = await ask(b"\xff", "/", **{"Content-Type": "image/png"})
    event = json.loads(body)
    assert (event["version"], event["routeKey"], event["rawPath"]) == ("2.0", "$default", "/a%20b")
    assert event["rawQueryString"] == "c=1&c=2&d=%20"
    assert event["queryStringParameters"] == {"c": "1,2", "d": " "}
    assert event["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in event["headers"]
    assert (event["body"], event["isBase64Encoded"]) == ('{"n": 1}', False)
    assert event["requestContext"]["http"]["method"] == "POST"
    assert event["requestContext"]["stage"] == "$default"
    assert (json.loads(binary)["body"], json.loads(binary)["isBase64Encoded"]) == ("/w==", True)


RESULTS = """
exports.handler = async ({ rawPath }) => ({
  '/full': {
    statusCode: 201, headers: { 'X-A': 1, 'content-type': 'text/html' },
    cookies: ['a=1', 'b=2'], body: '<p>',
  },
  '/text': 'hello',
  '/json': { a: [1] },
  '/none': undefined,
  '/binary': { statusCode: '200', body: 'AP8=', isBase64Encoded: true },
  '/object': { statusCode: 200, body: { a: 1 } },
  '/bad-base64': { statusCode: 200, body: 'AP8', isBase64Encoded: true },
  '/bad-status': { statusCode: 'ok' },
}[rawPath]);
"""


@pytest.mark.parametrize(
    ("path", "status", "kind", "body"),
    [
        ("/full", 201, "text/html", b"<p>"),
        ("/text", 200, "application/json", b"hello"),
        ("/json", 200, "application/json", b'{"a":[1]}'),
        ("/none", 200, "application/json", b"null"),
        ("/binary", 200, "text/plain; charset=utf-8", b"\x00\xff"),
        ("/object", 500, "application/problem+json", None),
        ("/bad-base64", 500, "application/problem+json", None),
        ("/bad-status", 500, "application/problem+json", None),
    ],
)
async def test_a_result_is_an_answer(
    tmp_path: Path, path: str, status: int, kind: str, body: bytes | None
) -> None:
    async with asking(tmp_path, RESULTS, "lambda") as ask:
        told, headers, sent = await ask(b"", path)
    assert (told, headers["Content-Type"]) == (status, kind)
    assert body is None or sent == body
    assert path != "/full" or headers.getall("Set-Cookie") == ["a=1", "b=2"]


async def test_a_streamed_answer_is_sent_as_it_is_written(tmp_path: Path) -> None:
    code = """
    exports.handler = awslambda.streamifyResponse(async (event, stream) => {
      if (event.rawPath === '/fails') throw new RangeError('early');
      const out = awslambda.HttpResponseStream.from(
        stream, { statusCode: 201, headers: { 'X-A': 'b' } });
      out.write('one;');
      await new Promise((resolve) => setTimeout(resolve, 20));
      out.end('two');
    });
    """
    async with asking(tmp_path, code, "lambda") as ask:
        status, headers, body = await ask()
        assert (status, headers["X-A"], body) == (201, "b", b"one;two")
        status, _, body = await ask(b"", "/fails")
        assert (status, json.loads(body)["errorType"]) == (500, "RangeError")
