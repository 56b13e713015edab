"""A function's process is killed in the middle of requests, and the API server stands still.

TORPOR_API_PAUSE_SECONDS says for how long it does.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.cluster.harness import SCALING_QUICK, Lab, command
from tests.cluster.test_disruption import in_node
from tests.cluster.test_quiet import audited_node
from tests.cluster.traffic import Tally, percentile, send, steady

PAUSE_SECONDS = float(os.environ.get("TORPOR_API_PAUSE_SECONDS", "60"))
RECOVERY_SECONDS = 60.0
UNAFFECTED_SECONDS = 0.5
KILLS = 3
WRITES_DOWN = """
import os, time

def handler(event, context):
    if event.path == "/all":
        with open("/shared/ids", "rb") as file:
            return file.read().decode()
    note = event.method + " " + event.path
    file = os.open("/shared/ids", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o660)
    os.write(file, (note + "\\n").encode())
    os.close(file)
    time.sleep(0.05)
    return note
"""
"""Says what it was asked before it answers, in a file that outlives its process."""


@pytest.mark.timeout(240)
async def test_a_killed_process_loses_no_get_and_no_post_is_delivered_twice(lab: Lab) -> None:
    await lab.api.text("POST", f"/api/v1/namespaces/{lab.namespace}/persistentvolumeclaims", CLAIM)
    claim = {"name": "shared", "mountPath": "/shared"}
    host = await lab.make(
        "mortal",
        runtime="python3",
        handler="main.handler",
        code={"inline": WRITES_DOWN},
        volumes=[{**claim, "persistentVolumeClaim": {"claimName": "shared"}}],
        scaling={"minReplicas": 3, "maxReplicas": 3},
    )
    await lab.replicas("mortal", least=3, within=90)
    async with steady(host, 50, "/get-{n}") as gets, steady(host, 50, "/{n}", "POST") as posts:
        for _ in range(KILLS):
            await asyncio.sleep(4)
            seen = await lab.replicas("mortal", least=3, within=60)
            await in_node(seen.running[0], 'kill -9 "$1"')
        await lab.replicas("mortal", least=3, within=60)
    done = Counter((await send(host, "/all")).body.decode().splitlines())
    twice = [note for note, times in done.items() if note.startswith("POST") and times > 1]
    again = sum(times > 1 for note, times in done.items() if note.startswith("GET"))
    unread = [note for note in read(posts) if note not in done]
    print(f"{KILLS} processes killed with SIGKILL\nGET: {gets}; {again} ran more than once")
    print(f"POST: {posts}; {len(twice)} ran more than once")
    gets.all_200()
    assert twice == []
    assert unread == [], "answered, yet never run"
    assert {answer.status for answer in posts.answers} <= {200, 502}, posts


def read(tally: Tally) -> list[str]:
    """Return what the function said to each request that it answered."""
    return [answer.body.decode() for answer in tally.answers if answer.status == 200]


CLAIM: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "shared"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}},
}


@pytest.mark.timeout(PAUSE_SECONDS + RECOVERY_SECONDS + 180)
async def test_an_api_server_that_stands_still_disturbs_no_warm_traffic(lab: Lab) -> None:
    node = await audited_node(lab)
    host = await lab.make("warm", scaling={"minReplicas": 1})
    asleep = await lab.make("asleep", scaling=dict(SCALING_QUICK))
    await lab.replicas("warm", least=1, within=60)
    await lab.zero("asleep")
    async with steady(host, 50) as tally:
        async with api_server_paused(node):
            await asyncio.sleep(PAUSE_SECONDS)
        cold = await send(asleep, deadline_seconds=RECOVERY_SECONDS)
        await asyncio.sleep(5)
        await lab.zero("asleep", within=RECOVERY_SECONDS)
    print(f"API server paused for {PAUSE_SECONDS:g} s under 50 rps: {tally}")
    print(f"a function at zero, first asked when it goes on: {cold}")
    tally.all_200()
    assert percentile([answer.seconds for answer in tally.answers], 0.95) < UNAFFECTED_SECONDS
    assert cold.status == 200, cold


@asynccontextmanager
async def api_server_paused(node: str) -> AsyncIterator[None]:
    """Stop the process of the API server while the block runs; it goes on by itself if we die."""
    thaw = f"sleep {PAUSE_SECONDS + 20:.0f}; pkill -CONT kube-apiserver"
    await in_container(node, f"pkill -STOP kube-apiserver; ({thaw}) >/dev/null 2>&1 &")
    try:
        asked = ("kubectl", "get", "--raw", "/readyz", "--request-timeout=2s")
        assert (await asyncio.to_thread(command, *asked)).returncode, "it still answers"
        yield
    finally:
        await in_container(node, "pkill -CONT kube-apiserver")


async def in_container(node: str, line: str) -> None:
    """Run a shell line in the node."""
    done = await asyncio.to_thread(command, "docker", "exec", node, "sh", "-c", line)
    assert done.returncode == 0, done.stderr
