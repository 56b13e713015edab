"""Streams of the runtimes: what fails before the first part is a 500, not a 200 cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.integration.runtimes import NODE, PYTHON, Language, in_both, running

PYTHON_HANDLERS = """
import asyncio, pathlib, sys, time

def fails_first(event, context):
    if event.path == "/":
        raise RuntimeError("the secret reason")
    yield "whole"

async def async_fails_first(event, context):
    if event.path == "/":
        raise RuntimeError("the secret reason")
    yield "whole"

def exits_first(event, context):
    if event.path == "/":
        sys.exit(3)
    yield "whole"

def yields_a_number_first(event, context):
    try:
        yield 7 if event.path == "/" else "whole"
    finally:
        print("closed", file=sys.stderr, flush=True)

async def async_yields_a_number_first(event, context):
    try:
        yield 7 if event.path == "/" else "whole"
    finally:
        print("closed", file=sys.stderr, flush=True)

def slow_first(event, context):
    if event.path == "/":
        time.sleep(0.8)
    yield "whole"

async def async_slow_first(event, context):
    if event.path == "/":
        await asyncio.sleep(30)
    yield "whole"

def waits(event, context):
    yield "first;"
    while not pathlib.Path(event.query["for"]).exists():
        time.sleep(0.005)
    yield "second"

async def async_waits(event, context):
    yield "first;"
    while not pathlib.Path(event.query["for"]).exists():
        await asyncio.sleep(0.005)
    yield "second"

async def head_first(event, context):
    yield ""
    async for part in async_waits(event, context):
        if part == "second":
            yield part

def empty(event, context):
    return iter(())

def lines(event, context):
    return map(str, range(3))

def returns_an_awaitable(event, context):
    async def later():
        return 201, "awaited"
    return later()

def too_large(event, context):
    if event.path == "/many":
        return 200, {f"X-{n}": "a" for n in range(2000)}, "x"
    return 200, {"X": "a" * 20000}, "x"

def cookies(event, context):
    return 200, {"Set-Cookie": ["a=1", "b=2"]}, "x"
"""

NODE_HANDLERS = """
const fs = require('node:fs');
const wait = (s) => new Promise((resolve) => setTimeout(resolve, Number(s) * 1000));

exports.fails_first = function* (event) {
  if (event.path === '/') throw new Error('the secret reason');
  yield 'whole';
};
exports.async_fails_first = async function* (event) {
  yield* exports.fails_first(event);
};
exports.exits_first = function* (event) {
  if (event.path === '/') process.exit(3);
  yield 'whole';
};
exports.yields_a_number_first = function* (event) {
  try {
    yield event.path === '/' ? 7 : 'whole';
  } finally {
    fs.writeSync(2, 'closed\\n');
  }
};
exports.async_yields_a_number_first = async function* (event) {
  yield* exports.yields_a_number_first(event);
};
exports.slow_first = async function* (event) {
  if (event.path === '/') await wait(0.8);
  yield 'whole';
};
exports.async_slow_first = async function* (event, context) {
  if (event.path === '/') await wait(30);
  yield 'whole';
};
exports.waits = async function* (event) {
  yield 'first;';
  while (!fs.existsSync(event.query.for)) await wait(0.005);
  yield 'second';
};
exports.async_waits = exports.waits;
exports.head_first = async function* (event) {
  yield '';
  for await (const part of exports.waits(event)) if (part === 'second') yield part;
};
exports.empty = () => [][Symbol.iterator]();
exports.lines = () => ['0', '1', '2'].values();
exports.returns_an_awaitable = () => Promise.resolve({ statusCode: 201, body: 'awaited' });
exports.too_large = (event) => {
  const names = Array.from({ length: 2000 }, (_, n) => [`X-${n}`, 'a']);
  return { statusCode: 200, headers: event.path === '/many' ? names : { X: 'a'.repeat(20000) } };
};
exports.cookies = () => ({ statusCode: 200, headers: { 'Set-Cookie': ['a=1', 'b=2'] }, body: 'x' });
"""
HANDLERS = {PYTHON: PYTHON_HANDLERS, NODE: NODE_HANDLERS}


@in_both
@pytest.mark.parametrize(
    "handler",
    [
        "fails_first",
        "async_fails_first",
        "exits_first",
        "yields_a_number_first",
        "async_yields_a_number_first",
    ],
)
async def test_what_fails_before_the_first_part_is_a_500(
    tmp_path: Path, handler: str, language: Language
) -> None:
    async with (
        running(
            tmp_path, f"main.{handler}", HANDLERS[language], language, TORPOR_CONCURRENCY_LIMIT="1"
        ) as runtime,
        ClientSession() as client,
    ):
        async with client.get(runtime.url, headers={"X-Request-Id": "r-1"}) as answer:
            told = await answer.json(content_type="application/problem+json")
        assert (answer.status, told["code"], told["requestId"]) == (500, "function-failed", "r-1")
        assert told["errorType"]
        assert runtime.errors.read_text().count("the handler failed") == 1
        assert "number" not in handler or "closed" in runtime.errors.read_text()
        async with client.get(f"{runtime.url}/again") as answer:
            assert (answer.status, await answer.text()) == (200, "whole")


@in_both
@pytest.mark.parametrize("handler", ["slow_first", "async_slow_first"])
async def test_a_first_part_that_takes_too_long_is_a_504(
    tmp_path: Path, handler: str, language: Language
) -> None:
    extra = {"TORPOR_TIMEOUT_SECONDS": "0.3", "TORPOR_CONCURRENCY_LIMIT": "2"}
    async with (
        running(tmp_path, f"main.{handler}", HANDLERS[language], language, **extra) as runtime,
        ClientSession() as client,
    ):
        async with client.get(runtime.url) as answer:
            told = await answer.json(content_type="application/problem+json")
        assert (answer.status, told["code"]) == (504, "timeout")
        async with client.get(f"{runtime.url}/again") as answer:
            assert await answer.text() == "whole"
        assert len(runtime.lines()) == 1


@in_both
@pytest.mark.parametrize("handler", ["waits", "async_waits"])
async def test_the_first_part_is_sent_without_waiting_for_the_second(
    tmp_path: Path, handler: str, language: Language
) -> None:
    go = tmp_path / "go"
    async with (
        running(tmp_path, f"main.{handler}", HANDLERS[language], language) as runtime,
        ClientSession() as client,
        client.get(runtime.url, params={"for": str(go)}) as answer,
    ):
        assert await answer.content.readany() == b"first;"
        go.touch()
        assert await answer.read() == b"second"


@in_both
async def test_an_empty_first_part_sends_the_head_alone(tmp_path: Path, language: Language) -> None:
    go = tmp_path / "go"
    async with (
        running(tmp_path, "main.head_first", HANDLERS[language], language) as runtime,
        ClientSession() as client,
        client.get(runtime.url, params={"for": str(go)}) as answer,
    ):
        go.touch()
        assert (answer.status, await answer.read()) == (200, b"second")


@in_both
@pytest.mark.parametrize(
    ("handler", "status", "body"),
    [("empty", 200, ""), ("lines", 200, "012"), ("returns_an_awaitable", 201, "awaited")],
)
async def test_iterators_and_awaitables_are_answers(
    tmp_path: Path, handler: str, status: int, body: str, language: Language
) -> None:
    async with (
        running(tmp_path, f"main.{handler}", HANDLERS[language], language) as runtime,
        ClientSession() as client,
        client.get(runtime.url) as answer,
    ):
        assert (answer.status, await answer.text()) == (status, body)


@in_both
@pytest.mark.parametrize("path", ["", "/many"])
async def test_a_header_that_no_gateway_takes_is_a_500_and_why_is_logged_once(
    tmp_path: Path, path: str, language: Language
) -> None:
    async with (
        running(tmp_path, "main.too_large", HANDLERS[language], language) as runtime,
        ClientSession() as client,
        client.get(runtime.url + path) as answer,
    ):
        assert answer.status == 500
        (line,) = runtime.lines()
        assert "at most" in str(line["exception"])


@in_both
async def test_a_list_of_values_is_as_many_fields(tmp_path: Path, language: Language) -> None:
    async with (
        running(tmp_path, "main.cookies", HANDLERS[language], language) as runtime,
        ClientSession() as client,
        client.get(runtime.url) as answer,
    ):
        assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
