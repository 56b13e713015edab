"""What the runtime of Node.js promises besides what it has in common with the other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.integration.runtimes import NODE, Runtime, needs_node, running, spawn

pytestmark = needs_node


async def asked(runtime: Runtime, path: str = "/", body: str = "") -> tuple[int, str]:
    async with ClientSession() as client, client.post(runtime.url + path, data=body) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize(
    ("file", "handler", "code"),
    [
        ("main.mjs", "main.handler", "export const handler = async () => 'found';"),
        ("main.cjs", "main.handler", "exports.handler = () => 'found';"),
        ("main.mjs", "main.handler", "export default { handler: () => 'found' };"),
        (
            "main.mjs",
            "main.handler",
            "const said = await Promise.resolve('found'); export const handler = () => said;",
        ),
        ("src/items.js", "src/items.get", "exports.get = () => 'found';"),
        ("main.js", "main.api.get", "module.exports = { api: { get: () => 'found' } };"),
    ],
)
async def test_handlers_are_found_in_modules_of_both_kinds(
    tmp_path: Path, file: str, handler: str, code: str
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(code)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    extra = {"TORPOR_CODE_DIR": str(tmp_path)}
    async with running(elsewhere, handler, "", NODE, **extra) as runtime:
        assert await asked(runtime) == (200, "found")


async def test_a_package_of_type_module_is_imported(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "other.js").write_text("export const said = 'found';")
    code = "import { said } from './other.js'; export const handler = () => said;"
    async with running(tmp_path, "main.handler", code, NODE) as runtime:
        assert await asked(runtime) == (200, "found")


@pytest.mark.parametrize(
    "code",
    [
        "exports.run = () => require('node:path').join('in', 'line');",
        "import { join } from 'node:path';\nexport const run = async () => join('in', 'line');",
    ],
)
async def test_inline_code_is_of_either_kind(tmp_path: Path, code: str) -> None:
    async with running(tmp_path, "any.run", "", NODE, TORPOR_CODE=code) as runtime:
        assert await asked(runtime) == (200, "in/line")


@pytest.mark.parametrize(
    ("code", "handler", "reason", "shown"),
    [
        ("require('nowhere')", "main.handler", "Error: Cannot find module 'nowhere'", "main.js:1"),
        ("const x = (", "main.handler", "SyntaxError: ", "main.js:1"),
        ("exports.x = 1", "main.handler", "exports no function 'handler'", "BadHandler"),
        ("exports.x = 1", "gone.handler", "there is no gone.js, gone.mjs, gone.cjs", "BadHandler"),
        ("exports.x = 1", "handler", "it must read module.function", "BadHandler"),
        (
            "setTimeout(() => {}); throw new RangeError('why')",
            "main.x",
            "RangeError: why",
            "main.js",
        ),
    ],
)
async def test_code_that_cannot_be_loaded_ends_the_process_with_the_reason(
    tmp_path: Path, code: str, handler: str, reason: str, shown: str
) -> None:
    runtime = await spawn(tmp_path, handler, code, NODE)
    async with asyncio.timeout(10):
        assert await runtime.process.wait() == 1
    left = (tmp_path / "termination").read_text()
    assert reason in left
    assert len(left.splitlines()) == 1
    told = str(runtime.lines()[0]["exception"])
    assert shown in told
    assert "runtime-node" not in told


ESCAPES = """
const later = (work) => new Promise(() => setTimeout(work, 1));
exports.handler = (event) => ({
  '/callback': () => later(() => { throw new RangeError('in a callback'); }),
  '/promise': () => { Promise.reject(new RangeError('on the side')); return later(() => {}); },
  '/exit': () => process.exit(3),
  '/outside': () => { globalThis.outside(); return 'said'; },
})[event.path]?.() ?? 'fine';
const { AsyncResource } = require('node:async_hooks');
globalThis.outside = AsyncResource.bind(() => setTimeout(() => { throw new Error('away'); }, 50));
"""


@pytest.mark.parametrize("path", ["/callback", "/promise", "/exit"])
async def test_an_error_that_escapes_from_a_request_fails_that_request_alone(
    tmp_path: Path, path: str
) -> None:
    extra = {"TORPOR_CONCURRENCY_LIMIT": "1"}
    async with running(tmp_path, "main.handler", ESCAPES, NODE, **extra) as runtime:
        status, told = await asked(runtime, path)
        assert (status, "function-failed" in told) == (500, True)
        assert await asked(runtime, "/again") == (200, "fine")
        assert [line["msg"] for line in runtime.lines()] == ["the handler failed"]


async def test_an_error_outside_of_every_request_ends_the_instance(tmp_path: Path) -> None:
    async with running(tmp_path, "main.handler", ESCAPES, NODE) as runtime:
        assert await asked(runtime, "/outside") == (200, "said")
        async with asyncio.timeout(5):
            assert await runtime.process.wait() == 1
    assert (tmp_path / "termination").read_text() == "Error: away: the instance is replaced\n"


HOLDS = """
exports.handler = async (event) => {
  if (event.path === '/warm') return 'warm';
  if (event.path === '/later') await new Promise((resolve) => setTimeout(resolve, 50));
  if (event.path === '/soon') await null;
  for (;;);
};
"""


@pytest.mark.parametrize("paths", [["/at-once"], ["/soon"], ["/later"], ["/warm", "/soon"]])
async def test_an_instance_whose_event_loop_is_held_ends_so_that_it_is_replaced(
    tmp_path: Path, paths: list[str]
) -> None:
    limits = {"TORPOR_TIMEOUT_SECONDS": "0.4", "TORPOR_GRACE_SECONDS": "0.2"}
    async with running(tmp_path, "main.handler", HOLDS, NODE, **limits) as runtime:
        for path in paths:
            reader, writer = await asyncio.open_connection("127.0.0.1", runtime.port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            async with asyncio.timeout(20):
                await reader.read()
            writer.close()
        async with asyncio.timeout(20):
            assert await runtime.process.wait() == 1
    left = (tmp_path / "termination").read_text()
    assert left.startswith("the event loop is held by code that does not return")


async def test_the_lines_of_console_are_json_with_the_ids_of_their_request(tmp_path: Path) -> None:
    code = """
    console.warn('at %s', 'start');
    exports.handler = async (event, context) => {
      await null;
      setTimeout(() => console.error('later', { a: 1 }), 1);
      context.log.info('in request');
      context.log.debug('not said');
    };
    """
    async with running(tmp_path, "main.handler", code, NODE) as runtime:
        async with (
            ClientSession() as client,
            client.get(runtime.url, headers={"X-Request-Id": "r-1"}) as answer,
        ):
            assert answer.status == 204
        async with asyncio.timeout(5):
            while "later" not in runtime.errors.read_text():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
    start, said, later = runtime.lines()
    assert (start["level"], start["msg"], start["logger"]) == ("warning", "at start", "console")
    assert "requestId" not in start
    assert (said["logger"], said["msg"], said["requestId"]) == ("function", "in request", "r-1")
    assert (later["level"], later["msg"], later["requestId"]) == ("error", "later { a: 1 }", "r-1")


RETURNS = """
const COOKIES = [['set-cookie', 'a=1'], ['set-cookie', 'b=2']];
exports.handler = ({ path }) => ({
  '/text': 'text',
  '/bytes': new Uint8Array([1, 2]),
  '/json': { status: 'queued', statusCode: 1, n: [1] },
  '/array': [201, 'created'],
  '/number': 0,
  '/none': undefined,
  '/status': { statusCode: 202 },
  '/response': new Response('made', { status: 203, headers: COOKIES }),
  '/readable': require('node:stream').Readable.from(['a', Buffer.from('b')]),
  '/bad-status': { statusCode: 99, body: 'x' },
  '/function': () => {},
  '/bad-field': { statusCode: 200, headers: { a: 'b\\nc' } },
}[path]);
"""


@pytest.mark.parametrize(
    ("path", "status", "kind", "body"),
    [
        ("/text", 200, "text/plain; charset=utf-8", "text"),
        ("/bytes", 200, "application/octet-stream", "\1\2"),
        ("/json", 200, "application/json", '{"status":"queued","statusCode":1,"n":[1]}'),
        ("/array", 200, "application/json", '[201,"created"]'),
        ("/number", 200, "application/json", "0"),
        ("/none", 204, None, ""),
        ("/status", 202, None, ""),
        ("/response", 203, "text/plain;charset=UTF-8", "made"),
        ("/readable", 200, "application/octet-stream", "ab"),
        ("/bad-status", 500, "application/problem+json", None),
        ("/function", 500, "application/problem+json", None),
        ("/bad-field", 500, "application/problem+json", None),
    ],
)
async def test_what_is_returned_is_answered_as_documented(
    tmp_path: Path, path: str, status: int, kind: str | None, body: str | None
) -> None:
    async with (
        running(tmp_path, "main.handler", RETURNS, NODE) as runtime,
        ClientSession() as client,
        client.get(runtime.url + path) as answer,
    ):
        assert (answer.status, answer.headers.get("Content-Type")) == (status, kind)
        if body is not None:
            assert await answer.text() == body
        if path == "/response":
            assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]


async def test_the_signal_is_aborted_when_the_client_leaves(tmp_path: Path) -> None:
    code = """
    exports.handler = (event, context) => new Promise((resolve) => {
      console.log('began');
      context.signal.addEventListener('abort', () => { console.log('aborted'); resolve(); });
    });
    """
    async with running(tmp_path, "main.handler", code, NODE) as runtime:
        _, writer = await asyncio.open_connection("127.0.0.1", runtime.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            while "began" not in runtime.errors.read_text():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
            writer.close()
            while "aborted" not in runtime.errors.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert [line["msg"] for line in runtime.lines()] == ["began", "aborted"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"400"),
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", b"431"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\n"
            b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"400",
        ),
    ],
)
async def test_what_parsers_could_read_differently_is_refused(
    tmp_path: Path, head: bytes, status: bytes
) -> None:
    code = "exports.handler = () => 'called';"
    async with running(tmp_path, "main.handler", code, NODE) as runtime:
        answer = await runtime.raw(head)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.count(b"HTTP/1.1") == 1
    assert b"application/problem+json" in answer
    assert b"called" not in answer
