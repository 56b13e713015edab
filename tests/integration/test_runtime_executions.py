"""Executions in the runtimes: counted, bounded, and never more than the limit at once."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession

from tests.integration.runtimes import NODE, PYTHON, Language, Runtime, in_both, running

PYTHON_HANDLERS = """
import asyncio, os, sys, time
now = most = calls = 0

def blocks(event, context):
    global now, most, calls
    now, calls = now + 1, calls + 1
    most = max(most, now)
    print("began", event.path, file=sys.stderr, flush=True)
    time.sleep(float(event.query.get("s", 0)))
    now -= 1
    return {"most": most, "calls": calls}

async def waits(event, context):
    print("began", event.path, file=sys.stderr, flush=True)
    await asyncio.sleep(float(event.query.get("s", 0)))
    return "done"

async def holds_the_loop(event, context):
    print("began", event.path, file=sys.stderr, flush=True)
    time.sleep(float(event.query.get("s", 0)))
    return "done"

async def ticks(event, context):
    try:
        while True:
            yield "ticks;"
            await asyncio.sleep(float(event.query["s"]))
    finally:
        print("closed", file=sys.stderr, flush=True)

def beats(event, context):
    try:
        while True:
            yield "beats;"
            time.sleep(float(event.query["s"]))
    finally:
        print("closed", file=sys.stderr, flush=True)

def exits(event, context):
    raise {"exit": SystemExit, "interrupt": KeyboardInterrupt, "generator": GeneratorExit}[
        event.query["by"]](3)

async def async_exits(event, context):
    return exits(event, context)

async def task_exits(event, context):
    async def task():
        exits(event, context)
    await asyncio.create_task(task())

def stream_exits(event, context):
    yield "half"
    sys.exit(3)
"""

NODE_HANDLERS = """
const fs = require('node:fs');
const { Readable } = require('node:stream');
const wait = (s) => new Promise((resolve) => setTimeout(resolve, Number(s) * 1000));
const say = (text) => fs.writeSync(2, text + '\\n');
let now = 0, most = 0, calls = 0;

exports.blocks = async (event) => {
  now += 1;
  calls += 1;
  most = Math.max(most, now);
  say(`began ${event.path}`);
  await wait(event.query.s ?? 0);
  now -= 1;
  return { most, calls };
};

exports.waits = async (event, context) => {
  say(`began ${event.path}`);
  await require('node:timers/promises').setTimeout(
    Number(event.query.s ?? 0) * 1000, null, { signal: context.signal });
  return 'done';
};

exports.holds_the_loop = (event) => {
  say(`began ${event.path}`);
  const until = Date.now() + Number(event.query.s ?? 0) * 1000;
  while (Date.now() < until);
  return 'done';
};

exports.ticks = async function* (event) {
  try {
    for (;;) {
      yield 'ticks;';
      await wait(event.query.s);
    }
  } finally {
    say('closed');
  }
};

exports.beats = (event) => new Readable({
  async read() {
    await wait(this.begun ? event.query.s : 0);
    this.begun = true;
    this.push('beats;');
  },
  destroy(error, done) {
    say('closed');
    done(error);
  },
});
exports.exits = () => process.exit(3);
exports.async_exits = async () => exports.exits();
exports.task_exits = () => new Promise(() => setTimeout(exports.exits, 1));
exports.stream_exits = async function* () {
  yield 'half';
  await wait(0.1);
  process.exit(3);
};
"""
HANDLERS = {PYTHON: PYTHON_HANDLERS, NODE: NODE_HANDLERS}
LIMIT_1 = {"TORPOR_CONCURRENCY_LIMIT": "1"}


@asynccontextmanager
async def serving(
    folder: Path, handler: str, language: Language = PYTHON, **extra: str
) -> AsyncIterator[Runtime]:
    code = HANDLERS[language]
    async with running(folder, f"main.{handler}", code, language, **extra) as runtime:
        yield runtime


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.005)


async def ask_and_leave(runtime: Runtime, target: str) -> asyncio.StreamWriter:
    """Send a request; the caller closes the connection without reading."""
    _, writer = await asyncio.open_connection("127.0.0.1", runtime.port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await writer.drain()
    return writer


@in_both
async def test_a_client_that_leaves_does_not_free_the_place_of_what_still_runs(
    tmp_path: Path, language: Language
) -> None:
    async with (
        serving(tmp_path, "blocks", language, **LIMIT_1) as runtime,
        ClientSession() as client,
    ):
        left = await ask_and_leave(runtime, "/first?s=0.6")
        await until(lambda: "began /first" in runtime.errors.read_text())
        left.close()
        async with client.get(f"{runtime.url}/second") as answer:
            assert await answer.json() == {"most": 1, "calls": 2}


@in_both
async def test_nor_does_a_time_out_and_who_waits_too_long_is_told_why(
    tmp_path: Path, language: Language
) -> None:
    extra = {**LIMIT_1, "TORPOR_TIMEOUT_SECONDS": "0.4"}
    async with serving(tmp_path, "blocks", language, **extra) as runtime, ClientSession() as client:
        async with client.get(f"{runtime.url}/first?s=1.1") as answer:
            assert answer.status == 504
        async with client.get(f"{runtime.url}/second", headers={"X-Request-Id": "r2"}) as answer:
            body = await answer.json(content_type="application/problem+json")
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert body["detail"] == "this instance's 1 executions are all taken"
            assert body["requestId"] == "r2"
        async with client.get(f"{runtime.url}/third") as answer:
            assert await answer.json() == {"most": 1, "calls": 2}


@in_both
async def test_many_at_once_are_all_answered_one_after_another(
    tmp_path: Path, language: Language
) -> None:
    async with (
        serving(tmp_path, "blocks", language, **LIMIT_1) as runtime,
        ClientSession() as client,
    ):

        async def ask() -> int:
            async with client.get(f"{runtime.url}/?s=0.01") as answer:
                return int((await answer.json())["most"])

        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(ask(), name=f"ask {n}") for n in range(30)]
    assert {task.result() for task in asked} == {1}


def closes(writer: asyncio.StreamWriter) -> None:
    writer.close()


def resets(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@in_both
@pytest.mark.parametrize("leaves", [closes, resets])
async def test_who_left_while_waiting_is_not_executed_and_takes_no_place(
    tmp_path: Path, leaves: Callable[[asyncio.StreamWriter], None], language: Language
) -> None:
    async with (
        serving(tmp_path, "blocks", language, **LIMIT_1) as runtime,
        ClientSession() as client,
    ):
        first = await ask_and_leave(runtime, "/first?s=0.5")
        await until(lambda: "began /first" in runtime.errors.read_text())
        second = await ask_and_leave(runtime, "/second")
        await asyncio.sleep(0.1)  # a reset takes away what was not read: it must be waiting
        leaves(second)
        await second.wait_closed()
        async with asyncio.timeout(5), client.get(f"{runtime.url}/third") as answer:
            assert await answer.json() == {"most": 1, "calls": 2}
        assert "Traceback" not in runtime.errors.read_text()
        first.close()


@in_both
async def test_an_async_handler_is_cancelled_by_its_time_out_and_leaves_its_place(
    tmp_path: Path, language: Language
) -> None:
    extra = {**LIMIT_1, "TORPOR_TIMEOUT_SECONDS": "0.3"}
    async with serving(tmp_path, "waits", language, **extra) as runtime, ClientSession() as client:
        async with client.get(f"{runtime.url}/?s=30") as answer:
            assert answer.status == 504
        began = time.monotonic()
        async with client.get(runtime.url) as answer:
            assert await answer.text() == "done"
        assert time.monotonic() - began < 0.25


async def test_time_outs_come_and_places_are_left_though_a_handler_holds_the_event_loop(
    tmp_path: Path,
) -> None:
    extra = {"TORPOR_CONCURRENCY_LIMIT": "2", "TORPOR_TIMEOUT_SECONDS": "0.3"}
    async with (
        serving(tmp_path, "holds_the_loop", PYTHON, **extra) as runtime,
        ClientSession() as client,
    ):
        for number in range(2):
            holding = await ask_and_leave(runtime, f"/{number}?s=0.9")
            await until(lambda number=number: f"began /{number}" in runtime.errors.read_text())  # type: ignore[misc]
            async with client.get(f"{runtime.url}/waits") as answer:
                assert answer.status == 504
            holding.close()
            await asyncio.sleep(0.6)
        async with client.get(f"{runtime.url}/last") as answer:
            assert await answer.text() == "done"


@in_both
async def test_an_instance_whose_executions_all_hang_ends_so_that_it_is_replaced(
    tmp_path: Path, language: Language
) -> None:
    extra = {**LIMIT_1, "TORPOR_TIMEOUT_SECONDS": "1.5", "TORPOR_GRACE_SECONDS": "0.5"}
    async with serving(tmp_path, "blocks", language, **extra) as runtime, ClientSession() as client:
        async with client.get(f"{runtime.url}/?s=60") as answer:
            assert answer.status == 504
        async with client.get(runtime.url) as answer:  # waits for a place when the end comes
            assert answer.status == 503
        async with asyncio.timeout(5):
            assert await runtime.process.wait() == 1
    told = "1 of 1 executions go on 0.5 s after their time-out: the instance is replaced\n"
    assert (tmp_path / "termination").read_text() == told


@in_both
async def test_an_instance_with_a_place_left_lives_on(tmp_path: Path, language: Language) -> None:
    limits = {"TORPOR_TIMEOUT_SECONDS": "0.2", "TORPOR_GRACE_SECONDS": "0.2"}
    extra = {"TORPOR_CONCURRENCY_LIMIT": "2", **limits}
    async with serving(tmp_path, "blocks", language, **extra) as runtime, ClientSession() as client:
        async with client.get(f"{runtime.url}/?s=60") as answer:
            assert answer.status == 504
        await until(lambda: "1 of 2 executions go on" in runtime.errors.read_text())
        async with client.get(runtime.url) as answer:
            assert answer.status == 200


@in_both
@pytest.mark.parametrize("by", ["exit", "interrupt", "generator"])
@pytest.mark.parametrize("handler", ["exits", "async_exits", "task_exits"])
async def test_a_handler_that_exits_fails_its_request_and_ends_nothing_else(
    tmp_path: Path, handler: str, by: str, language: Language
) -> None:
    async with (
        serving(tmp_path, handler, language, **LIMIT_1) as runtime,
        ClientSession() as client,
    ):
        for _ in range(2):
            async with client.get(f"{runtime.url}/?by={by}") as answer:
                assert answer.status == 500
                assert "failed" in json.loads(await answer.text())["detail"]
        failed = [line for line in runtime.lines() if line["msg"] == "the handler failed"]
        assert len(failed) == 2
        assert "exits" in str(failed[0]["exception"])
        assert runtime.process.returncode is None


@in_both
async def test_a_stream_that_exits_is_cut_and_ends_nothing_else(
    tmp_path: Path, language: Language
) -> None:
    async with (
        serving(tmp_path, "stream_exits", language, **LIMIT_1) as runtime,
        ClientSession() as client,
    ):
        for _ in range(2):
            with pytest.raises(ClientError):
                async with client.get(runtime.url) as answer:
                    await answer.read()


@in_both
@pytest.mark.parametrize("handler", ["ticks", "beats"])
async def test_a_stream_whose_client_leaves_is_closed(
    tmp_path: Path, handler: str, language: Language
) -> None:
    async with serving(tmp_path, handler, language, **LIMIT_1) as runtime:
        async with ClientSession() as client, client.get(f"{runtime.url}/?s=0.01") as answer:
            assert (await answer.content.readany()).startswith(handler[:4].encode())
        await until(lambda: "closed" in runtime.errors.read_text())


@in_both
@pytest.mark.parametrize("handler", ["ticks", "beats"])
async def test_a_stream_that_falls_silent_is_cut_after_the_time_out(
    tmp_path: Path, handler: str, language: Language
) -> None:
    extra = {**LIMIT_1, "TORPOR_TIMEOUT_SECONDS": "0.3"}
    async with serving(tmp_path, handler, language, **extra) as runtime, ClientSession() as client:
        with pytest.raises(ClientError):
            async with client.get(f"{runtime.url}/?s=3") as answer:
                await answer.read()
        assert "silent for 0.3 s" in runtime.errors.read_text()
