"""`torpor dev` as its user runs it: the command, a folder, requests."""

# ruff: noqa: SIM117 - a client nested in its server reads in the order of what happens
# ruff: noqa: ASYNC240 - the files are few and small

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, web
from aiohttp.test_utils import TestServer

from torpor.dev.state import state_of

Process = asyncio.subprocess.Process
ROOT = Path(__file__).parents[2]
FUNCTION = """
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata:
  name: {name}
  annotations: {{ torpor.dev/demo-expect: "{expect}" }}
spec:
  runtime: python3
  handler: main.handler
  code:
    inline: |
      {code}
  scaling: {{ idleSeconds: 1, windowSeconds: 2, burstWindowSeconds: 1, maxReplicas: 2 }}
"""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAYS_HI = "def handler(event, context): return 'hi'"


def write(folder: Path, name: str = "one", code: str = SAYS_HI, expect: str = "hi") -> Path:
    text = FUNCTION.format(name=name, code=code, expect=expect)
    (folder / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture(autouse=True)
def _state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


async def start(*words: object) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "torpor.cli.main",
        "dev",
        *(str(word) for word in words),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


async def outcome(*words: object) -> tuple[int | None, str]:
    process = await start(*words)
    try:
        async with asyncio.timeout(90):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode()


@asynccontextmanager
async def ended(process: Process) -> AsyncIterator[None]:
    """See to it that the process does not outlive the test."""
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _url(process: Process) -> str:
    async with asyncio.timeout(15):
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", await _line(process))):
            continue
    return found[0]


async def _rest(process: Process) -> str:
    assert process.stdout
    async with asyncio.timeout(20):
        output = await process.stdout.read()
        await process.wait()
    return output.decode()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[str]:
    process = await start(folder)
    async with ended(process):
        yield await _url(process)
        process.send_signal(signal.SIGTERM)
        await _rest(process)
        assert process.returncode == 0


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout
    line = (await process.stdout.readline()).decode()
    assert line, "torpor dev ended"
    return line


async def test_the_demo_of_the_example_passes() -> None:
    code, output = await outcome("examples/hello", "--demo")
    assert code == 0, output
    assert re.search(r"requests 484, wrong 0", output)
    assert len(re.findall(r"max replicas [2-4], ", output)) == 2
    assert re.search(r"cold starts: [4-9]", output)


@pytest.mark.parametrize(
    ("code", "expect", "told"),
    [
        (SAYS_HI, "something else", "wrong body"),
        ("def handler(event, context): raise RuntimeError('no')", "hi", "status 500"),
        ("import not_there_at_all", "hi", "not_there_at_all"),
    ],
)
async def test_the_demo_fails_when_a_response_is_not_right(
    tmp_path: Path, code: str, expect: str, told: str
) -> None:
    status, output = await outcome(write(tmp_path, code=code, expect=expect), "--demo")
    assert status == 1, output
    assert told in output


async def test_a_function_is_reached_by_path_and_by_host(tmp_path: Path) -> None:
    async with serving(write(tmp_path)) as url, ClientSession() as client:
        async with client.get(f"{url}/function/default/one/x") as answer:
            assert (answer.status, await answer.text()) == (200, "hi")
            assert int(answer.headers["X-Torpor-Cold-Start"]) > 0
        async with client.get(url, headers={"Host": "one.default.localhost"}) as answer:
            assert (answer.status, await answer.text()) == (200, "hi")
            assert "X-Torpor-Cold-Start" not in answer.headers


async def test_changed_code_is_served_without_an_error_in_between(tmp_path: Path) -> None:
    async with serving(write(tmp_path)) as url, ClientSession() as client:
        address = f"{url}/function/default/one/"
        async with client.get(address) as answer:
            assert await answer.text() == "hi"
        write(tmp_path, code="def handler(event, context): return 'ho'")
        async with asyncio.timeout(20):
            while True:
                async with client.get(address) as answer:
                    assert answer.status == 200
                    if await answer.text() == "ho":
                        break
                await asyncio.sleep(0.02)


async def test_code_that_cannot_be_imported_is_503_without_the_message(tmp_path: Path) -> None:
    folder = write(write(tmp_path), "broken", "import not_there_at_all")
    async with serving(folder) as url, ClientSession() as client:
        async with client.get(f"{url}/function/default/broken/") as answer:
            body = await answer.text()
        assert answer.status == 503
        assert "CrashLoopBackOff: exit status 1: ModuleNotFoundError" in body
        assert "not_there_at_all" not in body
        async with client.get(f"{url}/function/default/one/") as answer:
            assert answer.status == 200


async def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    code = "import os; handler = lambda event, context: os._exit(3) if event.query else 'hi'"
    async with serving(write(tmp_path, code=code)) as url, ClientSession() as client:
        address = f"{url}/function/default/one/"
        async with client.post(f"{address}?die=1", data=b"x") as answer:
            assert answer.status == 502
        # The dying process may still take a connection, to reset it. A POST would not be repeated.
        async with client.get(address) as answer:
            assert (answer.status, await answer.text()) == (200, "hi")


async def test_an_image_runs_by_its_command(tmp_path: Path) -> None:
    (tmp_path / "image.yaml").write_text(f"""
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata: {{ name: image }}
spec:
  image: example.org/any:1
  command: [sh, -c, 'exec {sys.executable} -m http.server --bind 127.0.0.1 "$PORT"']
""")
    async with serving(tmp_path) as url, ClientSession() as client:
        async with client.get(f"{url}/function/default/image/") as answer:
            assert answer.status == 200
            assert "Directory listing" in await answer.text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "bad.yaml, line 1, column 5: not YAML"),
        ("kind: 3", "bad.yaml, document 1: not a Kubernetes object"),
        ("kind: Function\napiVersion: v1", "apiVersion: must be torpor.dev/v1alpha1"),
        (FUNCTION.format(name="one", code="x", expect="").replace("Seconds: 1", "Seconds: x", 1),
         "Function one: spec.scaling.idleSeconds: must be an integer, not a string"),
        ("apiVersion: torpor.dev/v1alpha1\nkind: Function\nmetadata: {name: i}\nspec: {image: x}",
         "spec.command: needed to run default/i here"),
        ("apiVersion: torpor.dev/v1alpha1\nkind: Function\nmetadata: {name: i}\n"
         "spec: {runtime: python3, handler: a.b, code: {configMap: gone}}",
         "spec.code.configMap: no ConfigMap 'gone'"),
        ("---", "no Function, Workflow or Trigger in any *.yaml file"),
    ],
)  # fmt: skip
async def test_what_is_wrong_in_a_file_is_said_with_its_place(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    status, output = await outcome(tmp_path)
    assert status == 2
    assert told in output
    assert len(output.splitlines()) == 1


async def test_all_problems_of_all_files_are_said_at_once(tmp_path: Path) -> None:
    wrong = write(tmp_path, "two") / "two.yaml"
    wrong.write_text(wrong.read_text().replace("idleSeconds: 1", "idleSecond: 1, paused: 3"))
    (tmp_path / "three.yaml").write_text("a: [")
    status, output = await outcome(tmp_path)
    assert status == 2
    three, idle, paused = output.splitlines()
    assert "three.yaml, line 1" in three
    place = "two.yaml, document 1: Function two: spec.scaling."
    assert f"{place}idleSecond: unknown field; did you mean idleSeconds?" in idle
    assert f"{place}paused: must be true or false, not an integer" in paused


async def test_a_port_that_is_in_use_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, output = await outcome(write(tmp_path), "--port", port)
    told = f"torpor dev: port {port} on 127.0.0.1: is in use; choose another with --port\n"
    assert (status, output) == (2, told)


async def test_the_traceback_goes_to_the_terminal_and_the_log_stays(tmp_path: Path) -> None:
    code = "def inner(): import not_there_at_all\n      inner()"
    process = await start(write(tmp_path, code=code))
    async with ended(process):
        url = await _url(process)
        async with ClientSession() as client, client.get(f"{url}/function/default/one/") as answer:
            assert (answer.status, len((await answer.json())["detail"].splitlines())) == (503, 1)
        process.send_signal(signal.SIGTERM)
        output = await _rest(process)
    assert process.returncode == 0
    assert "ModuleNotFoundError: No module named 'not_there_at_all'" in output
    assert "in inner" in output
    [place] = re.findall(r"the functions' logs are in (.+)", output)
    [log] = Path(place).rglob("*.log")
    assert "not_there_at_all" in log.read_text()


async def test_the_next_run_begins_with_empty_logs_and_two_at_once_do_not_meet(
    tmp_path: Path,
) -> None:
    folder = write(tmp_path)
    first = state_of(folder)
    with first as place:
        (place / "x" / "logs").mkdir(parents=True)
        with state_of(folder) as other:
            assert other != place
        assert (place / "x").exists()
    assert (place / "x").exists()
    with state_of(folder) as again:
        assert again == place
        assert [item.name for item in again.iterdir()] == [".lock"]


async def test_where_no_state_can_be_kept_it_is_a_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with state_of(tmp_path) as place:
        assert (place.parent, [item.name for item in place.iterdir()]) == (tmp_path, [".lock"])


SLEEPS = (
    "import asyncio\n      async def handler(event, context): await asyncio.sleep({}); return 'hi'"
)


@asynccontextmanager
async def asked(folder: Path) -> AsyncIterator[tuple[Process, asyncio.Task[int]]]:
    """Serve, with one request inside that the function has."""
    process = await start(folder)
    async with ended(process), ClientSession() as client:
        address = f"{await _url(process)}/function/default/one/"

        async def ask() -> int:
            try:
                async with client.get(address) as answer:
                    return answer.status
            except ClientError:
                return 0

        request = asyncio.create_task(ask(), name="request")
        async with asyncio.timeout(20):
            while "in-flight=1" not in await _line(process):
                continue
        yield process, request


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_requests_finish(tmp_path: Path, number: signal.Signals) -> None:
    async with asked(write(tmp_path, code=SLEEPS.format(4))) as (process, request):
        process.send_signal(number)
        output = await _rest(process)
        assert await request == 200
    assert process.returncode == 0
    assert "waiting for 1 request in flight; Ctrl-C ends at once" in output


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_second_interrupt_ends_at_once_and_leaves_no_process(tmp_path: Path) -> None:
    async with asked(write(tmp_path, code=SLEEPS.format(60))) as (process, request):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 2  # the function, and what ends it if we are killed
        process.send_signal(signal.SIGINT)
        while "waiting for 1 request" not in await _line(process):
            continue
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(5):
            output = await _rest(process)
        assert await request in (0, 502, 503)  # cut off, or told so
    assert process.returncode == 130
    assert "Traceback" not in output
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


async def test_a_function_s_last_span_reaches_the_collector_though_the_end_comes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    async def take(request: web.Request) -> web.Response:
        if request.content_type == "application/json":  # a runtime's: our own are protobuf
            document = await request.json()
            scopes = [scope for one in document["resourceSpans"] for scope in one["scopeSpans"]]
            taken.extend(span["traceId"] for scope in scopes for span in scope["spans"])
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    async with TestServer(app) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", str(collector.make_url("/")))
        async with serving(write(tmp_path)) as url, ClientSession() as client:
            trace = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
            async with client.get(f"{url}/function/default/one/", headers=trace) as answer:
                assert answer.status == 200
    assert taken == [TRACE]
