"""Streams of the Python runtime: what fails before the first part is a 500, not a 200 cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.integration.python_runtime import running

HANDLERS = """
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
async def test_what_fails_before_the_first_part_is_a_500(tmp_path: Path, handler: str) -> None:
    async with (
        running(tmp_path, f"main.{handler}", HANDLERS, TORPOR_CONCURRENCY_LIMIT="1") as runtime,
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


@pytest.mark.parametrize("handler", ["slow_first", "async_slow_first"])
async def test_a_first_part_that_takes_too_long_is_a_504(tmp_path: Path, handler: str) -> None:
    extra = {"TORPOR_TIMEOUT_SECONDS": "0.3", "TORPOR_CONCURRENCY_LIMIT": "2"}
    async with (
        running(tmp_path, f"main.{handler}", HANDLERS, **extra) as runtime,
        ClientSession() as client,
    ):
        async with client.get(runtime.url) as answer:
            told = await answer.json(content_type="application/problem+json")
        assert (answer.status, told["code"]) == (504, "timeout")
        async with client.get(f"{runtime.url}/again") as answer:
            assert await answer.text() == "whole"
        assert len(runtime.lines()) == 1


@pytest.mark.parametrize("handler", ["waits", "async_waits"])
async def test_the_first_part_is_sent_without_waiting_for_the_second(
    tmp_path: Path, handler: str
) -> None:
    go = tmp_path / "go"
    async with (
        running(tmp_path, f"main.{handler}", HANDLERS) as runtime,
        ClientSession() as client,
        client.get(runtime.url, params={"for": str(go)}) as answer,
    ):
        assert await answer.content.readany() == b"first;"
        go.touch()
        assert await answer.read() == b"second"


async def test_an_empty_first_part_sends_the_head_alone(tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with (
        running(tmp_path, "main.head_first", HANDLERS) as runtime,
        ClientSession() as client,
        client.get(runtime.url, params={"for": str(go)}) as answer,
    ):
        go.touch()
        assert (answer.status, await answer.read()) == (200, b"second")


@pytest.mark.parametrize(
    ("handler", "status", "body"),
    [("empty", 200, ""), ("lines", 200, "012"), ("returns_an_awaitable", 201, "awaited")],
)
async def test_iterators_and_awaitables_are_answers(
    tmp_path: Path, handler: str, status: int, body: str
) -> None:
    async with (
        running(tmp_path, f"main.{handler}", HANDLERS) as runtime,
        ClientSession() as client,
        client.get(runtime.url) as answer,
    ):
        assert (answer.status, await answer.text()) == (status, body)


@pytest.mark.parametrize("path", ["", "/many"])
async def test_a_header_that_no_gateway_takes_is_a_500_and_why_is_logged_once(
    tmp_path: Path, path: str
) -> None:
    async with (
        running(tmp_path, "main.too_large", HANDLERS) as runtime,
        ClientSession() as client,
        client.get(runtime.url + path) as answer,
    ):
        assert answer.status == 500
        (line,) = runtime.lines()
        assert "at most" in str(line["exception"])


async def test_a_list_of_values_is_as_many_fields(tmp_path: Path) -> None:
    async with (
        running(tmp_path, "main.cookies", HANDLERS) as runtime,
        ClientSession() as client,
        client.get(runtime.url) as answer,
    ):
        assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
