"""A function at zero wakes by each kind of address, and sees the request as it was sent."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from tests.cluster.harness import SCALING_QUICK, Lab, command
from tests.cluster.traffic import Answer, send

pytestmark = pytest.mark.timeout(180)

SYNC = """
def handler(event, context):
    return {"kind": "sync", "got": event.json()}
"""
ASYNC = """
import asyncio

async def handler(event, context):
    await asyncio.sleep(0.01)
    return {"kind": "async", "got": event.json()}
"""
NODE = """
import { setTimeout as pause } from "node:timers/promises";

export async function handler(event) {
  await pause(10);
  return { kind: "node", got: event.json() };
}
"""


async def test_by_host(lab: Lab) -> None:
    host = await lab.make("web", scaling=dict(SCALING_QUICK))
    await lab.zero("web")
    answer = await send(host)
    told("by host", answer)
    assert (answer.status, answer.body) == (200, b"hello\n"), answer
    assert answer.cold_ms is not None
    assert answer.cold_ms / 1000 <= answer.seconds
    # The other gateway may not have heard yet, and holds one more request for a moment.
    warm = [await send(host) for _ in range(20)]
    assert [each.status for each in warm] == [200] * 20
    assert [each.cold_ms for each in warm[10:]] == [None] * 10


async def test_by_path(lab: Lab) -> None:
    await lab.make("web", scaling=dict(SCALING_QUICK))
    await lab.zero("web")
    answer = await send("gateway.test", f"/function/{lab.namespace}/web/a/b?c=d&e", method="POST")
    told("by path", answer)
    assert (answer.status, answer.body) == (200, b"POST /a/b?c=d&e\n"), answer


async def test_from_inside_by_service_name(lab: Lab) -> None:
    await lab.make("web", scaling=dict(SCALING_QUICK))
    client = await lab.client_pod()
    await lab.zero("web")
    url = f"http://web.{lab.namespace}.svc/inside"
    printed = await lab.kubectl("exec", client, "--", "/testfn", "get", url)
    print("from inside:", printed.splitlines()[0])
    assert printed.startswith("HTTP/1.1 200"), printed
    assert printed.endswith("GET /inside\n"), printed


async def test_by_torpor_invoke(lab: Lab) -> None:
    await lab.make("web", scaling=dict(SCALING_QUICK))
    await lab.zero("web")
    words = ("invoke", "web", "-n", lab.namespace, "--path", "/by/cli?x=1", "-d", "data")
    done = await asyncio.to_thread(command, sys.executable, "-m", "torpor.cli.main", *words)
    print("by torpor invoke:", done.stdout.strip())
    assert (done.returncode, done.stdout) == (0, "POST /by/cli?x=1\n"), done.stderr


@pytest.mark.parametrize(
    ("kind", "runtime", "file", "source"),
    [
        ("sync", "python3", "main.py", SYNC),
        ("async", "python3", "main.py", ASYNC),
        ("node", "nodejs", "main.mjs", NODE),
    ],
)
async def test_runtime_function_from_config_map(
    lab: Lab, kind: str, runtime: str, file: str, source: str
) -> None:
    await lab.config_map("code", {file: source})
    host = await lab.make(
        "fn",
        runtime=runtime,
        handler="main.handler",
        code={"configMap": "code"},
        scaling=dict(SCALING_QUICK),
    )
    await lab.zero("fn")
    answer = await send(host, "/", method="POST", body=b'{"n": 1}')
    told(f"{kind} handler", answer)
    assert answer.status == 200, answer
    assert json.loads(answer.body) == {"kind": kind, "got": {"n": 1}}
    assert answer.cold_ms is not None


async def test_unknown_function_is_404(lab: Lab) -> None:
    answer = await send(f"nobody.{lab.namespace}.localhost")
    told("unknown", answer)
    assert answer.status == 404, answer
    assert answer.headers["content-type"].startswith("application/problem+json")


def told(what: str, answer: Answer) -> None:
    """Print what came of a request."""
    print(f"{what}: sent 1, {answer}; woke it in {answer.cold_ms} ms")
