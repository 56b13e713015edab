"""The runtimes as real processes, spoken to over real sockets."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, web

from tests.integration.runtimes import (
    NODE,
    PYTHON,
    Language,
    Runtime,
    free_port,
    in_both,
    spawn,
)
from tests.integration.runtimes import running as running_code

PYTHON_HANDLERS = """
import asyncio, logging, time

def echo(event, context):
    return 201, {"X-Seen": event.headers.get("X-Mine", "none")}, {
        "method": event.method, "path": event.path, "query": event.query,
        "body": event.text, "id": context.request_id, "trace": context.trace_id,
        "left": context.remaining_ms(),
    }

def fails(event, context):
    raise RuntimeError("the secret reason")

async def slow(event, context):
    logging.getLogger("mine").info("began")
    await asyncio.sleep(float(event.query["s"]))
    return "done"

def blocks(event, context):
    time.sleep(float(event.query["s"]))
    return "done"

async def ticks(event, context):
    for n in range(3):
        yield f"{n};"
        await asyncio.sleep(0.05)

def pieces(event, context):
    yield "a"
    yield b"b"

def breaks(event, context):
    yield "half"
    raise RuntimeError("in the middle")

def streams_nothing(event, context):
    if event.path != "/after":
        return int(event.path[1:]), pieces(event, context)
    return "after"
"""

NODE_HANDLERS = """
const wait = (s) => new Promise((resolve) => setTimeout(resolve, Number(s) * 1000));

exports.echo = (event, context) => ({
  statusCode: 201,
  headers: { 'X-Seen': event.headers['x-mine'] ?? 'none' },
  body: {
    method: event.method, path: event.path, query: event.query,
    body: event.text, id: context.requestId, trace: context.traceId,
    left: context.remainingMs(),
  },
});

class RuntimeError extends Error {
  name = 'RuntimeError';
}

exports.fails = function fails() {
  throw new RuntimeError("the secret reason");
}

exports.slow = async (event) => {
  console.log("began");
  await wait(event.query.s);
  return "done";
};

exports.blocks = (event) => {
  const until = Date.now() + Number(event.query.s) * 1000;
  while (Date.now() < until);
  return "done";
};

exports.ticks = async function* () {
  for (let n = 0; n < 3; n += 1) {
    yield `${n};`;
    await wait(0.05);
  }
};

exports.pieces = function* () {
  yield "a";
  yield Buffer.from("b");
};

exports.breaks = async function* () {
  yield "half";
  await wait(0.1);
  throw new RuntimeError("in the middle");
};

exports.streams_nothing = (event) => (event.path === "/after" ? "after" : {
  statusCode: Number(event.path.slice(1)), body: exports.pieces(),
});
"""
HANDLERS = {PYTHON: PYTHON_HANDLERS, NODE: NODE_HANDLERS}


def running(
    folder: Path, handler: str, language: Language = PYTHON, code: str = "", **extra: str
) -> AbstractAsyncContextManager[Runtime]:
    return running_code(folder, handler, code or HANDLERS[language], language, **extra)


@in_both
async def test_the_handler_sees_the_request_and_its_answer_is_sent(
    tmp_path: Path, language: Language
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {
        "X-Mine": "yes",
        "X-Request-Id": "r-1",
        "traceparent": f"00-{trace}-00f067aa0ba902b7-01",
    }
    async with (
        running(tmp_path, "main.echo", language) as runtime,
        ClientSession() as client,
        client.post(f"{runtime.url}/a/b?c=d", data="hi", headers=headers) as answer,
    ):
        body = await answer.json()
    assert (answer.status, answer.headers["X-Seen"]) == (201, "yes")
    assert 0 < body.pop("left") <= 30_000
    assert body == {
        "method": "POST",
        "path": "/a/b",
        "query": {"c": "d"},
        "body": "hi",
        "id": "r-1",
        "trace": trace,
    }


@in_both
async def test_a_connection_is_kept_and_chunked_bodies_are_read(
    tmp_path: Path, language: Language
) -> None:
    async with running(tmp_path, "main.echo", language) as runtime:
        first = (
            b"POST /1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
        )
        second = b"GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = await runtime.raw(first + second)
    assert answer.count(b"HTTP/1.1 201") == 2
    assert b'"body":"ab"' in answer.replace(b" ", b"")
    assert b'"path":"/2"' in answer.replace(b" ", b"")


@in_both
async def test_head_has_the_length_and_no_body(tmp_path: Path, language: Language) -> None:
    async with running(tmp_path, "main.echo", language) as runtime:
        answer = await runtime.raw(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Length: " in head
    assert body == b""


@in_both
async def test_continue_is_said_before_the_body_is_read(tmp_path: Path, language: Language) -> None:
    async with running(tmp_path, "main.echo", language) as runtime:
        reader, writer = await asyncio.open_connection("127.0.0.1", runtime.port)
        writer.write(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n"
        )
        async with asyncio.timeout(5):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"ab")
            assert b'"body":"ab"' in (await reader.read()).replace(b" ", b"")
        writer.close()


@in_both
async def test_a_failure_is_a_problem_for_the_caller_and_a_traceback_in_the_log(
    tmp_path: Path, language: Language
) -> None:
    async with running(tmp_path, "main.fails", language) as runtime, ClientSession() as client:
        async with client.get(runtime.url, headers={"X-Request-Id": "r-7"}) as answer:
            body = await answer.json(content_type="application/problem+json")
        failed = [line for line in runtime.lines() if line["level"] == "error"]
    assert answer.status == 500
    assert body["requestId"] == "r-7"
    assert body["errorType"] == "RuntimeError"
    assert "secret" not in json.dumps(body)
    assert [line["requestId"] for line in failed] == ["r-7"]
    assert "the secret reason" in str(failed[0]["exception"])


SHOWS = """
import os

class Odd(Exception):
    def __str__(self):
        raise ValueError

def handler(event, context):
    match event.path:
        case "/odd":
            raise Odd()
        case "/long":
            raise RuntimeError("x" * 100_000)
        case "/deep":
            return handler(event, context)
        case "/surrogate":
            raise RuntimeError("\\udcff")
        case "/first":
            return stream()
    return {"header": "torpor-detail" in event.headers, "environment": "d3tail" in str(os.environ)}

def stream():
    raise RuntimeError("before the first part")
    yield ""
"""


@asynccontextmanager
async def asking(folder: Path, token: str = "d3tail") -> AsyncIterator[Callable[..., Any]]:
    """Yield what requests a path of SHOWS with a token; it returns status and body."""
    extra = {"TORPOR_DETAIL_TOKEN": token}
    async with (
        running(folder, "main.handler", PYTHON, SHOWS, **extra) as runtime,
        ClientSession() as client,
    ):

        async def ask(path: str, proof: str = "d3tail") -> Any:
            headers = {"Torpor-Detail": proof} if proof else {}
            async with client.post(f"{runtime.url}{path}", headers=headers) as answer:
                return answer.status, await answer.json(content_type=None)

        yield ask


async def test_a_caller_with_the_functions_token_is_told_why_it_failed(tmp_path: Path) -> None:
    extra = {"TORPOR_DETAIL_TOKEN": "d3tail"}
    async with (
        running(tmp_path, "main.fails", PYTHON, **extra) as runtime,
        ClientSession() as client,
    ):
        headers = {"Torpor-Detail": "d3tail"}
        async with client.post(runtime.url, headers=headers) as answer:
            body = await answer.json(content_type="application/problem+json")
        lines = json.dumps(runtime.lines())
    assert (answer.status, body["errorType"]) == (500, "RuntimeError")
    assert body["errorMessage"] == "the secret reason"
    line = PYTHON_HANDLERS.splitlines().index('    raise RuntimeError("the secret reason")') + 1
    assert body["stackTrace"] == [
        f'  File "{tmp_path}/main.py", line {line}, in fails\n'
        '    raise RuntimeError("the secret reason")\n'
    ]
    assert "d3tail" not in lines


@pytest.mark.parametrize(
    ("token", "proof"),
    [("d3tail", ""), ("d3tail", "d3tai"), ("d3tail", "d3tail, d3tail"), ("", "d3tail"), ("", "")],
)
async def test_nobody_else_is_told_why(tmp_path: Path, token: str, proof: str) -> None:
    async with asking(tmp_path, token) as ask:
        status, body = await ask("/first", proof)
    assert (status, body["errorType"]) == (500, "RuntimeError")
    assert not {"errorMessage", "stackTrace"} & body.keys()


async def test_the_handler_sees_nothing_of_the_token(tmp_path: Path) -> None:
    async with asking(tmp_path) as ask:
        assert await ask("/") == (200, {"header": False, "environment": False})


async def test_every_reason_can_be_told_and_is_bounded(tmp_path: Path) -> None:
    async with asking(tmp_path) as ask:
        assert "ValueError" in (await ask("/odd"))[1]["errorMessage"]
        assert (await ask("/surrogate"))[1]["errorMessage"] == "?"
        assert (await ask("/first"))[1]["errorMessage"] == "before the first part"
        long, deep = (await ask("/long"))[1], (await ask("/deep"))[1]
    assert 10_000 < len(long["errorMessage"]) < 32_000
    assert deep["errorType"] == "RecursionError"
    assert len(json.dumps(deep)) < 32_000


@in_both
@pytest.mark.parametrize("handler", ["main.slow", "main.blocks"])
async def test_a_request_that_takes_too_long_is_answered_504(
    tmp_path: Path, handler: str, language: Language
) -> None:
    extra = {"TORPOR_TIMEOUT_SECONDS": "0.3"}
    async with running(tmp_path, handler, language, **extra) as runtime, ClientSession() as client:
        async with client.get(f"{runtime.url}/?s=3") as answer:
            assert answer.status == 504
        async with client.get(f"{runtime.url}/?s=0") as answer:
            assert await answer.text() == "done"


@in_both
async def test_streams_arrive_piece_by_piece(tmp_path: Path, language: Language) -> None:
    async with (
        running(tmp_path, "main.ticks", language) as runtime,
        ClientSession() as client,
        client.get(runtime.url) as answer,
    ):
        pieces = [chunk async for chunk, _ in answer.content.iter_chunks()]
    assert [piece for piece in pieces if piece] == [b"0;", b"1;", b"2;"]


@in_both
async def test_a_sync_generator_streams_too(tmp_path: Path, language: Language) -> None:
    async with (
        running(tmp_path, "main.pieces", language) as runtime,
        ClientSession() as client,
        client.get(runtime.url) as answer,
    ):
        assert await answer.read() == b"ab"


@in_both
@pytest.mark.parametrize("status", [204, 304])
async def test_a_stream_for_a_status_without_a_body_is_not_sent(
    tmp_path: Path, status: int, language: Language
) -> None:
    async with running(tmp_path, "main.streams_nothing", language) as runtime:
        first = f"GET /{status} HTTP/1.1\r\nHost: x\r\n\r\n"
        second = "GET /after HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answers = await runtime.raw((first + second).encode())
    head, _, rest = answers.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"transfer-encoding" not in head.lower()
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest.endswith(b"\r\n\r\nafter")


@in_both
async def test_a_stream_that_breaks_is_not_taken_for_a_whole_one(
    tmp_path: Path, language: Language
) -> None:
    async with running(tmp_path, "main.breaks", language) as runtime, ClientSession() as client:
        with pytest.raises(ClientError):
            async with client.get(runtime.url) as answer:
                await answer.read()


@in_both
async def test_a_body_over_the_limit_is_refused(tmp_path: Path, language: Language) -> None:
    extra = {"TORPOR_MAX_BODY_BYTES": "10"}
    async with running(tmp_path, "main.echo", language, **extra) as runtime:
        answer = await runtime.raw(
            b"POST / HTTP/1.1\r\nHost: x\r\nX-Request-Id: r-3\r\nContent-Length: 11\r\n\r\n"
        )
    assert answer.startswith(b"HTTP/1.1 413")
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (told["code"], told["requestId"]) == ("body-too-large", "r-3")


@in_both
async def test_a_length_of_thousands_of_digits_is_refused(
    tmp_path: Path, language: Language
) -> None:
    async with running(tmp_path, "main.echo", language) as runtime:
        length = b"1" * 5000
        answer = await runtime.raw(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n"
        )
    assert answer.startswith(b"HTTP/1.1 400 ")


@in_both
async def test_sigterm_lets_the_running_request_finish(tmp_path: Path, language: Language) -> None:
    async with running(tmp_path, "main.slow", language) as runtime, ClientSession() as client:
        request = asyncio.create_task(client.get(f"{runtime.url}/?s=0.5"))
        async with asyncio.timeout(10):
            while "began" not in runtime.errors.read_text():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
        runtime.process.send_signal(signal.SIGTERM)
        answer = await request
        assert await answer.text() == "done"
        assert answer.headers["Connection"] == "close"
        async with asyncio.timeout(5):
            assert await runtime.process.wait() == 0


@pytest.mark.parametrize(
    ("code", "handler", "reason"),
    [
        ("import nowhere_to_be_found", "main.echo", "nowhere_to_be_found"),
        ("x = 1", "main.echo", "no function 'echo'"),
        ("x = (", "main.echo", "SyntaxError"),
        ("", "echo", "module.function"),
    ],
)
async def test_code_that_cannot_be_loaded_ends_the_process_with_the_reason(
    tmp_path: Path, code: str, handler: str, reason: str
) -> None:
    runtime = await spawn(tmp_path, handler, code)
    async with asyncio.timeout(10):
        assert await runtime.process.wait() == 1
    left = (tmp_path / "termination").read_text()
    assert reason in left
    assert len(left.splitlines()) == 1
    assert reason in str(runtime.lines()[0]["exception"])


async def test_inline_code_is_run(tmp_path: Path) -> None:
    extra = {"TORPOR_CODE": "def run(event, context):\n    return 'inline'\n"}
    async with (
        running(tmp_path, "any.run", PYTHON, **extra) as runtime,
        ClientSession() as client,
        client.get(runtime.url) as answer,
    ):
        assert await answer.text() == "inline"


FILES = {
    PYTHON: {
        "shop.py": "import os, pathlib, words\n"
        "def run(event, context):\n"
        "    folder = pathlib.Path(os.environ['TORPOR_CODE_DIR'])\n"
        "    left = [name for name in os.environ if name.startswith('TORPOR_FILE_')]\n"
        "    return words.HELLO + (folder / 'data-1.txt').read_text() + str(left)\n",
        "words.py": "HELLO = 'Grüße '",
        "data-1.txt": "two\nlines $(PORT)",
    },
    NODE: {
        "shop.js": "const fs = require('node:fs');\n"
        "const isLeft = (name) => name.startsWith('TORPOR_FILE_');\n"
        "const left = () => Object.keys(process.env).filter(isLeft);\n"
        "const text = () => fs.readFileSync(`${__dirname}/data-1.txt`);\n"
        "exports.run = () => require('./words').HELLO + text() + JSON.stringify(left());\n",
        "words.js": "exports.HELLO = 'Grüße ';",
        "data-1.txt": "two\nlines $(PORT)",
    },
}


@in_both
async def test_files_in_variables_are_the_code(tmp_path: Path, language: Language) -> None:
    given = {f"TORPOR_FILE_{name}": text for name, text in FILES[language].items()}
    async with (
        running(tmp_path, "shop.run", language, **given) as runtime,
        ClientSession() as client,
        client.get(runtime.url) as answer,
    ):
        assert await answer.text() == "Grüße two\nlines $(PORT)[]"


@in_both
async def test_it_announces_itself_to_every_address_once_it_listens(
    tmp_path: Path, language: Language
) -> None:
    seen: asyncio.Queue[tuple[str, dict[str, object]]] = asyncio.Queue()

    async def announce(request: web.Request) -> web.Response:
        seen.put_nowait((request.headers["Authorization"], await request.json()))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/v1/announce", announce)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    extra = {
        "TORPOR_ANNOUNCE_URL": f"http://127.0.0.1:{port}/v1/announce",
        "TORPOR_ANNOUNCE_TOKEN": "t0k",
    }
    try:
        async with (
            running(tmp_path, "main.echo", language, **extra) as runtime,
            asyncio.timeout(10),
        ):
            assert await seen.get() == (
                "Bearer t0k",
                {"function": "shop/echo", "port": runtime.port},
            )
    finally:
        await runner.cleanup()


@in_both
async def test_an_announcement_that_fails_does_no_harm(tmp_path: Path, language: Language) -> None:
    extra = {"TORPOR_ANNOUNCE_URL": "http://does-not-exist.invalid:1/v1/announce"}
    async with (
        running(tmp_path, "main.pieces", language, **extra) as runtime,
        ClientSession() as client,
    ):
        began = time.monotonic()
        async with client.get(runtime.url) as answer:
            assert await answer.read() == b"ab"
        assert time.monotonic() - began < 2


async def test_a_traceback_begins_with_the_users_code_and_shows_its_lines(tmp_path: Path) -> None:
    code = "def run(event, context):\n    return 1 / 0  # here\n"
    async with (
        running(tmp_path, "any.run", TORPOR_CODE=code) as runtime,
        ClientSession() as client,
        client.get(runtime.url) as answer,
    ):
        assert answer.status == 500
        shown = str(runtime.lines()[0]["exception"])
    assert "return 1 / 0  # here" in shown
    assert "torpor_runtime" not in shown


async def test_what_a_module_logs_is_json_from_its_import_on(tmp_path: Path) -> None:
    code = (
        "import logging\nlogging.warning('at import')\n"
        "def run(event, context):\n    context.log.info('in %s', 'request')\n"
    )
    async with (
        running(tmp_path, "main.run", code=code) as runtime,
        ClientSession() as client,
        client.get(runtime.url, headers={"X-Request-Id": "r-1"}) as answer,
    ):
        assert answer.status == 204
        first, second = runtime.lines()
    assert (first["msg"], first["level"]) == ("at import", "warning")
    assert (second["msg"], second["logger"], second["requestId"]) == (
        "in request",
        "function",
        "r-1",
    )


async def test_serving_imports_nothing_that_takes_long(tmp_path: Path) -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\n"
        "def run(event, context):\n    return ' '.join(set(sys.modules) - before)\n"
    )
    heavy = {"asyncio", "logging", "json", "re", "socket", "typing", "enum", "inspect", "ssl"}
    async with (
        running(tmp_path, "main.run", code=code) as runtime,
        ClientSession() as client,
        client.get(f"{runtime.url}/a/b?c=d") as answer,
    ):
        assert not heavy & set((await answer.text()).split())
