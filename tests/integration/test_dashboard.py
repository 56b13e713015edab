"""The dashboard of one `torpor dev` that runs all there is: what it shows, and what it does."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import pytest_asyncio
from aiohttp import ClientSession

from tests.support.dev_process import DevProcess, dev_process
from tests.support.postgres import needs_postgres
from tests.support.servers.nats import needs_nats

pytestmark = [needs_nats, needs_postgres]

FOLDER = """
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata: {{ name: hello }}
spec:
  runtime: python3
  handler: main.handler
  code:
    inline: |
      def handler(event, context):
          return {{"hello": "world"}}
---
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata: {{ name: picky }}
spec:
  runtime: python3
  handler: main.handler
  code:
    inline: |
      import pathlib
      def handler(event, context):
          if not pathlib.Path({mended!r}).exists():
              raise ValueError("not yet")
          return {{"taken": True}}
---
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata: {{ name: crunch }}
spec:
  runtime: python3
  handler: main.handler
  workload: Job
  code:
    inline: |
      def handler(event, context):
          return {{"n": 1}}
---
apiVersion: torpor.dev/v1alpha1
kind: Workflow
metadata: {{ name: pipe }}
spec:
  definition:
    StartAt: Call
    States:
      Call:
        Type: Task
        Resource: arn:aws:lambda:us-east-1:000000000000:function:hello
        Next: Sleep
      Sleep: {{ Type: Wait, Seconds: 600, End: true }}
---
apiVersion: torpor.dev/v1alpha1
kind: Trigger
metadata: {{ name: orders }}
spec:
  source: {{ bus: {{ name: shop }} }}
  target: {{ function: {{ name: picky }} }}
  delivery: {{ maxAttempts: 1 }}
---
apiVersion: torpor.dev/v1alpha1
kind: Trigger
metadata: {{ name: web }}
spec:
  source: {{ http: {{ path: /hi }} }}
  target: {{ function: {{ name: hello }} }}
"""
LETTERS = "/api/triggers/default/orders/dead-letters"
PAGE = {"X-Torpor-Dashboard": "test"}
_SECONDS = 30.0


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file whose being there makes `picky` take events."""
    return tmp_path_factory.mktemp("mended") / "now"


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, mended: Path) -> Iterator[DevProcess]:
    folder = tmp_path_factory.mktemp("folder")
    (folder / "all.yaml").write_text(FOLDER.format(mended=str(mended)))
    with dev_process(folder) as found:
        found.shown("default/orders trigger Subscribed")
        yield found


@pytest_asyncio.fixture
async def client() -> AsyncIterator[ClientSession]:
    async with ClientSession() as found:
        yield found


async def get(client: ClientSession, url: str) -> Any:
    async with client.get(url) as answer:
        content = await answer.read()
        assert answer.status == 200, content
        return orjson.loads(content)


async def until(
    client: ClientSession, dev: DevProcess, there: Callable[[Mapping[str, Any]], bool]
) -> Mapping[str, Any]:
    """Return the first snapshot of which something is true."""
    seen: Mapping[str, Any] = {}
    try:
        async with asyncio.timeout(_SECONDS):
            while True:
                seen = await get(client, f"{dev.dashboard}/api/snapshot")
                if there(seen):
                    return seen
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"it never came to that: {seen}") from None


async def torpor(dev: DevProcess, *words: str) -> str:
    """Run a command for this `torpor dev`, and return what it prints."""
    command = [sys.executable, "-m", "torpor.cli.main", *words]
    done = await asyncio.to_thread(
        subprocess.run, command, env=dev.environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def named(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    [found] = [row for row in rows if row["name"] == name]
    return found


async def test_functions_wake_and_their_requests_are_counted(
    client: ClientSession, dev: DevProcess
) -> None:
    before = await get(client, f"{dev.dashboard}/api/snapshot")
    assert (before["problem"], named(before["functions"], "crunch")["state"]) == ("", "job")
    async with client.get(f"{dev.gateway}/hi") as answer:
        assert await answer.json() == {"hello": "world"}
    seen = await until(client, dev, lambda it: named(it["functions"], "hello")["requests"] >= 1)
    hello = named(seen["functions"], "hello")
    assert (hello["state"], hello["ready"], hello["wanted"]) == ("ready", 1, 1)
    [cold] = hello["coldStarts"]
    assert set(cold["phases"]) == {"decide", "schedule", "create", "start", "release"}
    assert sum(cold["phases"].values()) == pytest.approx(cold["totalMs"])


async def test_the_stream_shows_a_run_as_it_ends_and_its_trace(
    client: ClientSession, dev: DevProcess
) -> None:
    async with client.get(f"{dev.dashboard}/events") as stream:
        async with client.post(f"{dev.gateway}/function/default/crunch/", data="{}") as answer:
            run = (await answer.json())["id"]
        async with asyncio.timeout(_SECONDS):
            while True:
                event = await stream.content.readuntil(b"\n\n")
                told = orjson.loads(event.removeprefix(b"data: "))
                seen = {each["id"]: each for each in told["runs"]}
                if run in seen and seen[run]["state"] == "Succeeded":
                    break
    assert (seen[run]["function"], seen[run]["result"]) == ("crunch", {"n": 1})
    trace = seen[run]["traceId"]
    await until(client, dev, lambda it: trace in [each["traceId"] for each in it["traces"]])
    tree = await get(client, f"{dev.dashboard}/api/traces/{trace}")
    assert "run default/crunch" in [branch["name"] for branch in tree["tree"]]


async def test_an_execution_is_listed_and_opened(client: ClientSession, dev: DevProcess) -> None:
    arn = (await torpor(dev, "workflow", "run", "pipe", "-d", '{"order": 7}')).strip()
    seen = await until(
        client, dev, lambda it: ["Sleep"] in [each["states"] for each in it["executions"]]
    )
    [listed] = seen["executions"]
    assert (listed["arn"], listed["workflow"], listed["status"]) == (arn, "default/pipe", "RUNNING")
    opened = await get(client, f"{dev.dashboard}/api/executions/{quote(arn, safe='')}")
    assert (opened["input"], opened["workflow"], opened["complete"]) == (
        '{"order": 7}',
        "default/pipe",
        True,
    )
    states = {node["name"]: node["status"] for node in opened["graph"]["nodes"]}
    assert states == {"Call": "succeeded", "Sleep": "running"}
    assert [event["type"] for event in opened["history"]][:2] == [
        "ExecutionStarted",
        "TaskStateEntered",
    ]
    assert listed["traceId"] in {each["traceId"] for each in seen["traces"]}


async def test_dead_letters_are_shown_and_delivered_again(
    client: ClientSession, dev: DevProcess, mended: Path
) -> None:
    published = await torpor(dev, "publish", "shop", "--type", "order.placed", "--id", "o-1")
    assert published == "o-1\n"
    seen = await until(client, dev, lambda it: named(it["triggers"], "orders")["deadLetters"] == 1)
    assert named(seen["triggers"], "orders")["source"] == "bus/shop"
    assert named(seen["triggers"], "web") == {
        "namespace": "default",
        "name": "web",
        "source": "http//hi",
        "target": "function/hello",
        "state": "ready",
        "message": "",
        "lag": 0,
        "waiting": 0,
        "deadLetters": 0,
    }
    [event] = seen["bus"]
    assert (event["bus"], event["id"], event["type"]) == ("default/shop", "o-1", "order.placed")
    assert event["traceId"] in {each["traceId"] for each in seen["traces"]}
    [letter] = (await get(client, dev.dashboard + LETTERS))["letters"]
    assert (letter["event"]["id"], letter["attempts"], letter["status"]) == ("o-1", 1, 500)
    await asyncio.to_thread(mended.touch)
    async with client.post(f"{dev.dashboard}{LETTERS}/redrive", headers=PAGE) as answer:
        redriven = {"moved": 1, "left": 0, "after": None, "last": letter["seq"]}
        assert await answer.json() == redriven
    await until(client, dev, lambda it: named(it["triggers"], "orders")["deadLetters"] == 0)
    assert (await get(client, dev.dashboard + LETTERS))["letters"] == []


async def test_costs_are_those_of_the_metrics(client: ClientSession, dev: DevProcess) -> None:
    async with client.get(f"{dev.gateway}/hi") as answer:
        assert answer.status == 200
    seen = await until(
        client, dev, lambda it: "default/hello" in [item["name"] for item in it["cost"]["items"]]
    )
    hello = named(seen["cost"]["items"], "default/hello")
    assert hello["amount"] == pytest.approx(sum(hello["parts"].values()))
    async with client.get(f"{dev.dashboard}/metrics") as answer:
        text = await answer.text()
    kept = [line for line in text.splitlines() if line.startswith("torpor_function_pod_seconds_t")]
    assert [line for line in kept if 'function="hello"' in line and 'phase="start"' in line]
    query = "requests=10000000&milliseconds=200&memoryMib=256&prices=aws-lambda-x86"
    compared = await get(client, f"{dev.dashboard}/api/cost/compare?{query}")
    assert compared["serverless"] == pytest.approx(10.33, abs=0.01)


async def test_a_broker_that_stalls_costs_its_own_part_only(
    client: ClientSession, dev: DevProcess
) -> None:
    whole = await until(client, dev, lambda it: not it["problem"])
    brokers = _nats_of(dev)
    assert brokers
    for pid in brokers:
        os.kill(pid, signal.SIGSTOP)
    try:
        partly = await until(client, dev, lambda it: bool(it["problem"]))
    finally:
        for pid in brokers:
            os.kill(pid, signal.SIGCONT)
    assert "bus: " in partly["problem"]
    assert partly["bus"] == whole["bus"]
    assert [each["name"] for each in partly["functions"]] == ["crunch", "hello", "picky"]
    await until(client, dev, lambda it: not it["problem"])


async def test_the_command_says_where_it_is(dev: DevProcess) -> None:
    assert await torpor(dev, "dashboard") == f"dashboard: {dev.dashboard}\n"


def _nats_of(dev: DevProcess) -> list[int]:
    """The nats-server whose configuration is in its state, and what started it, if that stays."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"-c" in words and any(word.startswith(os.fsencode(dev.state)) for word in words):
                found.append(int(entry.name))
    return found
