"""Job Functions in `torpor dev` as their user has them: HTTP, `torpor run`, edits, restarts."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.support.pipeline import free_ports
from torpor.cli.main import main

PROGRAM = """
import json, os, signal, sys, time
place = os.environ["PLACE"]
given = json.loads(open(os.environ["TORPOR_INPUT"]).read() or "{}")
def stop(*_):
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
print("counting to", given.get("to"), flush=True)
for number in range(given.get("lines", 0)):
    print("line", number, "." * 100)
if "lines" in given:
    print("that was all", end="")
if "bad" in given:
    json.dump({"error": given["bad"]}, open(os.environ["TORPOR_OUTPUT"], "w"))
    sys.exit(64)
if given.get("slow"):
    open(place + "/ready", "a").write("ready\\n")
    while not os.path.exists(place + "/go"):
        time.sleep(0.02)
json.dump({"counted": given.get("to"), "version": VERSION}, open(os.environ["TORPOR_OUTPUT"], "w"))
"""


def write(folder: Path, place: Path, version: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    spec = {
        "workload": "Job",
        "image": "example.com/count:1",
        "command": [sys.executable, "-c", PROGRAM.replace("VERSION", str(version))],
        "env": [{"name": "PLACE", "value": str(place)}],
        "reservedConcurrency": 5,
    }
    obj = {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "count"},
        "spec": spec,
    }
    (folder / "count.yaml").write_text(json.dumps(obj))
    return folder


@pytest.fixture(autouse=True)
def _state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@dataclass(frozen=True)
class Dev:
    """A session that runs, and what it has said so far."""

    url: str
    said: list[str]


@asynccontextmanager
async def serving(
    folder: Path, end: signal.Signals = signal.SIGTERM, port: int | None = None
) -> AsyncIterator[Dev]:
    where = () if port is None else ("--port", str(port))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "torpor.cli.main", "dev", str(folder), *where),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout
    said: list[str] = []
    try:
        async with asyncio.timeout(20):
            while not (found := re.search(r"http://127\.0\.0\.1:\d+", said[-1] if said else "")):
                line = (await process.stdout.readline()).decode()
                assert line, said
                said.append(line)
        yield Dev(found[0], said)
        process.send_signal(end)
        async with asyncio.timeout(20):
            said.append((await process.stdout.read()).decode())
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def torpor(*words: str) -> tuple[int, str, str]:
    """Run the command beside the session; its streams are the test's."""
    out, err = io.BytesIO(), io.BytesIO()
    shown, noted = (io.TextIOWrapper(it, write_through=True) for it in (out, err))
    with redirect_stdout(shown), redirect_stderr(noted):
        async with asyncio.timeout(30):
            code = await asyncio.to_thread(main, words)
    return code, out.getvalue().decode(), err.getvalue().decode()


async def ended(run: str, *way: str) -> None:
    """Wait until the run goes on no longer."""
    async with asyncio.timeout(20):
        while run in (await torpor("run", "list", "-o", "name", *way))[1]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def until(there: Path, lines: int = 1) -> None:
    async with asyncio.timeout(15):
        while not there.exists() or len(there.read_text().splitlines()) < lines:  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.02)


async def test_over_http(tmp_path: Path) -> None:
    folder = write(tmp_path / "app", tmp_path)
    async with serving(folder) as dev, ClientSession(dev.url) as client:
        headers = {"Idempotency-Key": "mine"}
        async with client.post("/function/default/count", json={"to": 3}, headers=headers) as it:
            assert it.status == 202
            taken = await it.json()
            assert it.headers["Location"] == taken["location"]
        async with client.get(taken["location"], params={"wait": "20"}) as it:
            run = await it.json()
        async with client.post("/function/default/count", json={"to": 9}, headers=headers) as it:
            assert (await it.json())["id"] == taken["id"]
        async with client.get("/function/@runs/default/none-1") as it:
            assert (it.status, (await it.json())["code"]) == (404, "unknown-run")
        async with client.get("/function/default/count") as it:
            assert it.status == 405
    assert (run["state"], run["result"]) == ("Succeeded", {"counted": 3, "version": 1})


async def test_on_the_command_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "app", tmp_path)
    async with serving(folder) as dev:
        way = ("--gateway", dev.url)
        code, out, err = await torpor("invoke", "count", "-d", '{"to": 7}', "--wait", *way)
        assert (code, json.loads(out)) == (0, {"counted": 7, "version": 1})
        assert "succeeded" in err
        code, out, err = await torpor("fn", "invoke", "count", "-d", '{"bad": "no"}', *way)
        failing = out.strip()
        assert code == 0
        assert failing.startswith("count-")
        await ended(failing, *way)
        code, out, err = await torpor("invoke", "count", "-d", '{"slow": 1}', *way)
        slow = out.strip()
        await until(tmp_path / "ready")
        code, out, _ = await torpor("run", "list", *way)
        assert [line.split()[:3] for line in out.splitlines()[1:]] == [[slow, "count", "Running"]]
        code, out, _ = await torpor("run", "list", "--all", "-o", "json", *way)
        assert [it["state"] for it in json.loads(out)["items"]] == [
            *("Running", "Failed", "Succeeded")
        ]
        code, out, _ = await torpor("run", "show", failing, "--pod-hour", "2", *way)
        assert re.search(r"^state +Failed$", out, re.MULTILINE)
        assert re.search(r"^why +BadInput: no$", out, re.MULTILINE)
        assert "at 2 a pod-hour" in out
        code, out, err = await torpor("run", "retry", failing, "--follow", *way)
        assert code == 1
        assert out.strip() != failing
        assert "failed: BadInput: no" in err
        code, out, err = await torpor("run", "cancel", slow, "--follow", *way)
        assert (code, out) == (0, "")
        assert "cancelled" in err
        code, out, err = await torpor("run", "logs", slow, *way)
        assert (code, out) == (0, "counting to None\n")
        code, out, err = await torpor("run", "show", "count-0", *way)
        assert code == 1
        assert "there is no run default/count-0" in err


async def test_a_log_of_some_mebibytes_is_shown_to_its_end(tmp_path: Path) -> None:
    folder = write(tmp_path / "app", tmp_path)
    async with serving(folder) as dev:
        way = ("--gateway", dev.url)
        given = json.dumps({"lines": 20_000})
        _, out, _ = await torpor("invoke", "count", "-d", given, *way)
        run = out.strip()
        address = f"{dev.url}/function/@runs/default/{run}?wait=20"
        async with ClientSession() as client, client.get(address) as it:
            assert (await it.json())["state"] == "Succeeded"
        code, out, _ = await torpor("run", "logs", run, *way)
        lines = out.splitlines()
        assert (code, len(lines), lines[-1]) == (0, 20_002, "that was all")
        code, _, err = await torpor("run", "logs", run, "--index", "7", *way)
        assert (code, err.rstrip()[-19:]) == (1, "only index 0, not 7")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_a_run_survives_an_edit_and_a_restart_and_says_so(
    tmp_path: Path, end: signal.Signals
) -> None:
    folder = write(tmp_path / "app", tmp_path)
    async with serving(folder, end) as dev, ClientSession(dev.url) as client:
        async with client.post("/function/default/count", json={"to": 1, "slow": True}) as it:
            location = (await it.json())["location"]
        await until(tmp_path / "ready")
        write(folder, tmp_path, version=2)
    (folder / "count.yaml").write_text("")
    write(folder, tmp_path, version=3)
    async with serving(folder) as again, ClientSession(again.url) as client:
        await until(tmp_path / "ready", lines=2)
        async with client.get(location) as it:
            before = await it.json()
        (tmp_path / "go").touch()
        async with client.get(location, params={"wait": "20"}) as it:
            run = await it.json()
    assert before["state"] == "Running"
    assert run["result"] == {"counted": 1, "version": 1}
    assert run["attempt"] == 1
    assert "torpor dev was ended while it ran; it went on" in run["message"]
    told = "is interrupted; it goes on in the next torpor dev here" in "".join(dev.said)
    assert told == (end is signal.SIGTERM)
    assert "torpor dev was ended while it ran" in "".join(again.said)


APIS = """
apiVersion: v1
kind: ConfigMap
metadata: { name: apis, annotations: { torpor.dev/embedded: apis } }
data: { TORPOR_GATEWAY: "http://gateway.shop.svc" }
"""
TELLS_ITS_GATEWAY = """
import json, os, time
place = os.environ["PLACE"]
open(place + "/ready", "a").write("ready\\n")
while not os.path.exists(place + "/go"):
    time.sleep(0.02)
json.dump(os.environ["TORPOR_GATEWAY"], open(os.environ["TORPOR_OUTPUT"], "w"))
"""


async def test_a_run_that_goes_on_is_told_where_the_gateway_is_now(tmp_path: Path) -> None:
    folder = write(tmp_path / "app", tmp_path)
    count = json.loads((folder / "count.yaml").read_text())
    count["spec"] |= {
        "command": [sys.executable, "-c", TELLS_ITS_GATEWAY],
        "envFrom": [{"configMapRef": {"name": "apis"}}],
    }
    (folder / "count.yaml").write_text(json.dumps(count))
    (folder / "apis.yaml").write_text(APIS)
    with free_ports(2) as (first, second):
        pass
    async with serving(folder, signal.SIGKILL, first) as dev, ClientSession(dev.url) as client:
        async with client.post("/function/default/count", json={}) as it:
            location = (await it.json())["location"]
        await until(tmp_path / "ready")
    async with serving(folder, port=second) as again, ClientSession(again.url) as client:
        (tmp_path / "go").touch()
        async with client.get(location, params={"wait": "20"}) as it:
            run = await it.json()
    assert run["result"] == again.url != dev.url


TRANSCODER = """
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata: {{ name: transcode }}
spec:
  workload: Job
  image: registry.example.com/torpor/runtime-ffmpeg:1.2
  job:
    checkpoint: {{ store: "file://{out}" }}
"""


async def test_the_transcoders_image_runs_as_the_program_that_is_here(tmp_path: Path) -> None:
    tools = pytest.importorskip("torpor.transcode.tools")
    pytest.importorskip("ffmpeg")
    film, out = tmp_path / "film.mp4", tmp_path / "out"
    made = await asyncio.create_subprocess_exec(
        *(str(tools.find_tools().ffmpeg), "-loglevel", "error", "-f", "lavfi"),
        *("-i", "testsrc2=size=160x90:rate=25", "-t", "2", "-preset", "ultrafast", str(film)),
    )
    assert await made.wait() == 0
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "transcode.yaml").write_text(TRANSCODER.format(out=out))
    given = {"source": f"file://{film}", "variants": ["h264"], "speed": "draft"}
    async with serving(folder) as dev:
        code, printed, err = await torpor(
            "invoke", "transcode", "-d", json.dumps(given), "--wait", "--gateway", dev.url
        )
    assert code == 0, err
    assert "variants" in json.loads(printed)
