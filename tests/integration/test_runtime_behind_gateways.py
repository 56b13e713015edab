"""The runtimes behind real gateways: what it answers is what the client gets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.runtimes import NODE, PYTHON, Language, Runtime, in_both, running
from tests.support.haproxy import (
    SHOP,
    ScriptedHolder,
    needs_haproxy,
    open_lane,
    running_plane,
    send,
)
from torpor.gateway.dataplane.base import Server
from torpor.gateway.dataplane.haproxy.driver import HaproxyPlane
from torpor.gateway.dataplane.inprocess import InProcessDataPlane
from torpor.gateway.routes import Routes
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import detail_token
from torpor_runtime.answer import MAX_FIELD_BYTES, MAX_FIELDS, MAX_FIELDS_BYTES, MAX_NAME_BYTES

Plane = HaproxyPlane | InProcessDataPlane
Gateway = Callable[[], AbstractAsyncContextManager[tuple[Plane, int]]]

TIMEOUT_SECONDS = 2.0
PYTHON_HANDLERS = f"""
import sys, time

def largest(event, context):
    total, number = {MAX_FIELDS_BYTES}, {MAX_FIELDS}
    if event.path == "/one":
        return 200, {{"X": "a" * ({MAX_FIELD_BYTES} - 5)}}, "sent"
    if event.path == "/name":
        return 200, {{"N" * {MAX_NAME_BYTES}: "a"}}, "sent"
    each = total // number - len("X-10") - 4
    return 200, {{f"X-{{n}}": "a" * each for n in range(10, 10 + number)}}, "sent"

def too_large(event, context):
    return 200, {{"X": "a" * 20_000}}, "never sent"

def blocks(event, context):
    print("began", event.path, file=sys.stderr, flush=True)
    time.sleep(float(event.query.get("s", 0)))
    return "done"
"""

NODE_HANDLERS = f"""
const wait = (s) => new Promise((resolve) => setTimeout(resolve, Number(s) * 1000));

exports.largest = (event) => {{
  const answer = (headers) => ({{ statusCode: 200, headers, body: 'sent' }});
  if (event.path === '/one') return answer({{ X: 'a'.repeat({MAX_FIELD_BYTES} - 5) }});
  if (event.path === '/name') return answer({{ ['N'.repeat({MAX_NAME_BYTES})]: 'a' }});
  const each = 'a'.repeat({MAX_FIELDS_BYTES // MAX_FIELDS - len("X-10") - 4});
  return answer(Array.from({{ length: {MAX_FIELDS} }}, (_, n) => [`X-${{n + 10}}`, each]));
}};
exports.too_large = () => ({{ statusCode: 200, headers: {{ X: 'a'.repeat(20000) }}, body: 'x' }});
exports.blocks = async (event) => {{
  console.log('began', event.path);
  await wait(event.query.s ?? 0);
  return 'done';
}};
"""
HANDLERS = {PYTHON: PYTHON_HANDLERS, NODE: NODE_HANDLERS}


@asynccontextmanager
async def haproxy() -> AsyncIterator[tuple[Plane, int]]:
    async with running_plane(ScriptedHolder()) as plane:
        yield plane, plane.port


@asynccontextmanager
async def inprocess() -> AsyncIterator[tuple[Plane, int]]:
    plane = InProcessDataPlane("127.0.0.1", 0)
    await plane.start(ScriptedHolder())
    try:
        await plane.set_routes(Routes.of((SHOP,), "localhost", "cluster.local"))
        yield plane, plane.port
    finally:
        await plane.stop()


GATEWAYS = [pytest.param(haproxy, marks=needs_haproxy), inprocess]


@asynccontextmanager
async def behind(
    gateway: Gateway, folder: Path, handler: str, language: Language, **extra: str
) -> AsyncIterator[tuple[Runtime, int]]:
    async with (
        running(folder, f"main.{handler}", HANDLERS[language], language, **extra) as runtime,
        gateway() as (plane, port),
    ):
        server = Server("one", "127.0.0.1", runtime.port, 1)
        await plane.apply(SHOP, open_lane(server, timeout_seconds=TIMEOUT_SECONDS))
        yield runtime, port


@in_both
@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_the_largest_header_of_an_answer_arrives(
    tmp_path: Path, gateway: Gateway, language: Language
) -> None:
    async with behind(gateway, tmp_path, "largest", language) as (_, port):
        for path in ("/one", "/name", "/many"):
            answer = await send(port, path)
            assert (answer.status, answer.body) == (200, b"sent"), path


@in_both
@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_a_larger_one_is_a_failure_of_the_function(
    tmp_path: Path, gateway: Gateway, language: Language
) -> None:
    async with behind(gateway, tmp_path, "too_large", language) as (runtime, port):
        answer = await send(port)
        told = json.loads(answer.body)
        assert (answer.status, told["code"]) == (500, "function-failed")
        assert told["requestId"] == answer.headers["x-request-id"]
        assert len(runtime.lines()) == 1


@in_both
@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_only_who_shows_the_functions_token_is_told_the_reason_of_a_failure(
    tmp_path: Path, gateway: Gateway, language: Language
) -> None:
    token = detail_token(b"k" * 32, SHOP)
    other = detail_token(b"k" * 32, FunctionKey(SHOP.namespace, "other"))
    async with behind(gateway, tmp_path, "too_large", language, TORPOR_DETAIL_TOKEN=token) as (
        _,
        port,
    ):
        told = json.loads((await send(port, headers={"Torpor-Detail": token})).body)
        assert "20005 bytes" in told["errorMessage"]
        for headers in ({}, {"Torpor-Detail": other}):
            body = (await send(port, headers=headers)).body
            assert json.loads(body)["errorType"] == "BadReturn"
            assert b"20005" not in body


@in_both
@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_who_waits_for_a_place_in_vain_is_told_so_before_the_gateway_gives_up(
    tmp_path: Path, gateway: Gateway, language: Language
) -> None:
    extra = {"TORPOR_CONCURRENCY_LIMIT": "1", "TORPOR_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS)}
    async with behind(gateway, tmp_path, "blocks", language, **extra) as (runtime, port):
        first = await send(port, "/first?s=8")
        assert first.status == 504
        for _ in range(2):
            answer = await send(port, "/second")
            told = json.loads(answer.body)
            assert (answer.status, told["code"]) == (503, "unavailable")
            assert told["detail"] == "this instance's 1 executions are all taken"
            assert answer.headers["retry-after"] == "1"
        assert "/second" not in runtime.errors.read_text()
