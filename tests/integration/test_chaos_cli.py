"""`torpor chaos` against `torpor dev`: each fault is done, nothing is lost, and it says so."""

# ruff: noqa: ASYNC110, ASYNC240 - other processes write the files, which are small

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from aiohttp import ClientSession

from tests.support.postgres import needs_postgres
from tests.support.servers.nats import needs_nats

pytestmark = [needs_postgres, needs_nats, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]
CSV_TOTALS = ROOT / "examples/csv-totals/csv_totals.py"
CODE = """
import os, pathlib, time
def hold(event, context):
    place = pathlib.Path(os.environ["PLACE"])
    with (place / "held").open("a") as out:
        out.write(event.headers["idempotency-key"] + "\\n")
    while not (place / "go").exists():
        time.sleep(0.02)
    return "held"
def echo(event, context):
    return f"{os.getpid()}"
def take(event, context):
    with (pathlib.Path(os.environ["PLACE"]) / "taken").open("a") as out:
        out.write(event.text + "\\n")
"""
CHUNK, CHUNKS = 100_000, 30
"""Of lines: so much that it takes some seconds."""
_ENDPOINTS = re.compile(
    r"(?P<name>TORPOR_DASHBOARD|TORPOR_WORKFLOWS|TORPOR_EVENTS)=(?P<url>http://[0-9.:]+)"
)
_GATEWAY = re.compile(r"(http://127\.0\.0\.1:\d+)/function/")


def function(name: str, **spec: Any) -> Mapping[str, Any]:
    return _object("Function", name, {"runtime": "python3", "code": {"inline": CODE}, **spec})


def _object(kind: str, name: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = {"name": name}
    return {"apiVersion": "torpor.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


def write(folder: Path, place: Path) -> None:
    awake = {"idleSeconds": 600}
    held = {"Type": "Task", "Resource": "arn:aws:lambda:hold", "End": True}
    target = {"function": {"name": "take"}}
    env = [{"name": "PLACE", "value": str(place)}]
    job = {"retries": {"perIndex": 3}, "checkpoint": {"store": f"file://{place}/kept"}}
    command = [sys.executable, str(CSV_TOTALS)]
    totals = {"workload": "Job", "image": "csv-totals:1", "command": command, "job": job}
    objects = [
        function("echo", handler="main.echo", scaling=awake),
        function("take", handler="main.take", env=env),
        _object("Function", "csv-totals", totals),
        function("hold", handler="main.hold", env=env, timeoutSeconds=100),
        _object("Workflow", "held", {"definition": {"StartAt": "Hold", "States": {"Hold": held}}}),
        _object("Trigger", "orders", {"source": {"queue": {"name": "orders"}}, "target": target}),
    ]
    (folder / "all.yaml").write_text(yaml.safe_dump_all(objects))


@dataclass
class Dev:
    """A `torpor dev` that runs, and where it can be reached."""

    place: Path
    environment: dict[str, str]
    gateway: str = ""
    said: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        self.said.append(line)
        if found := _ENDPOINTS.search(line):
            self.environment[found["name"]] = found["url"]
        if found := _GATEWAY.search(line):
            self.gateway = found[1]

    async def torpor(self, *words: str) -> tuple[int, str, str]:
        """Run a command as the person beside it does; its status, output and errors."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "torpor.cli.main", *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment,
        )
        async with asyncio.timeout(120):
            out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dev(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dev]:
    folder, place = tmp_path_factory.mktemp("folder"), tmp_path_factory.mktemp("place")
    write(folder, place)
    state = str(tmp_path_factory.mktemp("state"))
    found = Dev(place, {**os.environ, "XDG_STATE_HOME": state, "PYTHONUNBUFFERED": "1"})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "torpor.cli.main", "dev", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=found.environment,
    )
    assert process.stdout
    try:
        async with asyncio.timeout(60):
            while not any("logs in" in line for line in found.said):
                line = (await process.stdout.readline()).decode()
                assert line, found.said
                found.hear(line)
        reading = asyncio.create_task(process.stdout.read(), name="output")
        yield found
        process.terminate()
        async with asyncio.timeout(30):
            await reading
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_killed_instance_is_replaced_and_what_comes_meanwhile_is_answered(dev: Dev) -> None:
    async with ClientSession() as session:
        before = await _said(session, f"{dev.gateway}/function/default/echo/")
        code, out, err = await dev.torpor("chaos", "kill-pod", "echo")
        assert code == 0, err
        after = await _said(session, f"{dev.gateway}/function/default/echo/")
    assert "SIGKILL to instance echo-" in out
    assert "requests: none; 1 ready again" in out
    assert before != after


async def test_a_killed_run_goes_on_from_its_checkpoint(dev: Dev) -> None:
    rides = dev.place / "rides.csv"
    chunk = "".join(f"c{n % 7},{n % 1000}.5\n" for n in range(CHUNK))
    rides.write_text("city,fare\n" + chunk * CHUNKS)
    given = {"source": str(rides), "group": "city", "sum": "fare", "unitMiB": 1}
    way = ("--gateway", dev.gateway)
    code, out, err = await dev.torpor("invoke", "csv-totals", *way, "--data", json.dumps(given))
    assert code == 0, err
    run = out.strip()
    async with asyncio.timeout(30):
        while not list((dev.place / "kept").glob("*/seg/0/*.json")):
            await asyncio.sleep(0.05)
    code, out, err = await dev.torpor("chaos", "kill-run", "csv-totals")
    assert code == 0, err
    assert f"run default/{run}: SIGKILL to index 0" in out
    assert "attempt 2 began" in out
    code, out, err = await dev.torpor("run", "show", run, *way, "-o", "json")
    async with asyncio.timeout(60):
        while json.loads(out)["run"]["state"] == "Running":
            code, out, err = await dev.torpor("run", "show", run, *way, "-o", "json")
    shown = json.loads(out)["run"]
    assert (shown["state"], shown["attempt"], shown["result"]["rows"]) == (
        "Succeeded",
        2,
        CHUNK * CHUNKS,
    )


async def test_executions_go_on_after_their_engine_was_killed(dev: Dev) -> None:
    code, _, err = await dev.torpor("workflow", "run", "held", "--name", "one")
    assert code == 0, err
    await _lines(dev.place / "held", 1)
    code, out, err = await dev.torpor("chaos", "kill-engine")
    assert code == 0, err
    assert "engine: dropped without a commit" in out
    assert "1 of the latest executions were running" in out
    keys = await _lines(dev.place / "held", 2)
    assert len(set(keys)) == 1, "what is done again has the key of what was lost"
    (dev.place / "go").touch()
    show = ("workflow", "show", "held", "one", "-o", "json")
    async with asyncio.timeout(60):
        while json.loads((found := await dev.torpor(*show))[1])["status"] == "RUNNING":
            await asyncio.sleep(0.1)
    assert json.loads(found[1])["status"] == "SUCCEEDED"
    _, out, _ = await dev.torpor("workflow", "history", "held", "one", "-o", "json")
    types = [event["type"] for event in json.loads(out)["events"]]
    assert types.count("TaskStateEntered") == types.count("ExecutionSucceeded") == 1


async def test_a_slow_function_answers_late_and_right(dev: Dev) -> None:
    async with ClientSession() as session:
        await _said(session, f"{dev.gateway}/function/default/echo/")
        slowing = asyncio.create_task(
            dev.torpor("chaos", "slow", "echo", "--seconds", "1.5", "--for", "3"), name="slow"
        )
        clock = asyncio.get_running_loop().time
        longest = 0.0
        while not slowing.done():
            began = clock()
            await _said(session, f"{dev.gateway}/function/default/echo/")
            longest = max(longest, clock() - began)
            await asyncio.sleep(0.01)
        code, out, err = await slowing
    assert code == 0, err
    assert re.search("stood still [12] times for 1.5 s", out), out
    assert longest > 1.0


async def test_a_filled_queue_is_worked_off_to_its_last_message(dev: Dev) -> None:
    fill = ("chaos", "fill-queue", "orders", "--messages", "25", "--body", "message {n}")
    code, out, err = await dev.torpor(*fill)
    assert code == 0, err
    assert "25 messages sent" in out
    taken = await _lines(dev.place / "taken", 25)
    assert set(taken) == {f"message {n}" for n in range(25)}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("kill-pod", "nobody"), "there is no function default/nobody in the folder"),
        (("kill-pod", "csv-totals"), "is a Job, which has runs: torpor chaos kill-run"),
        (("kill-run", "nobody"), "there is no run default/nobody"),
        (
            ("fill-queue", "order", "--messages", "1"),
            "there is no queue default/order: default has orders",
        ),
        (("fill-queue", "shop/orders", "--messages", "1"), "queue shop/orders: shop has none"),
    ],
)
async def test_what_is_not_there_cannot_be_broken(
    dev: Dev, words: tuple[str, ...], told: str
) -> None:
    code, _, err = await dev.torpor("chaos", *words)
    assert (code, told in err) == (1, True), err


async def test_a_page_of_another_origin_breaks_nothing(dev: Dev) -> None:
    url = f"{dev.environment['TORPOR_DASHBOARD']}/api/chaos/kill-engine"
    async with ClientSession() as session:
        async with session.post(url, headers={"Origin": "http://example.com"}) as answer:
            assert answer.status == 403
        async with session.post(url) as answer:
            assert answer.status == 403, "without the page's own header"


async def _said(session: ClientSession, url: str) -> str:
    async with session.get(url) as answer:
        text = await answer.text()
        assert answer.status == 200, text
        return text


async def _lines(file: Path, enough: int) -> list[str]:
    """Return the lines of a file once there are so many."""
    async with asyncio.timeout(60):
        while not file.exists() or len(file.read_text().splitlines()) < enough:
            await asyncio.sleep(0.05)
    return file.read_text().splitlines()
