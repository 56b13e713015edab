"""`torpor dev` of a Function, a Job and a Workflow, and what `torpor cost` says they cost."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession

REQUESTS, SECONDS = 8, 0.4
CODE = f"import time\ndef handler(event, context):\n    time.sleep({SECONDS})\n    return 'done'\n"
FAILS_ONCE = """
import os, sys, time
time.sleep(0.5)
place = os.environ["PLACE"] + "/failed"
if not os.path.exists(place):
    open(place, "w").close()
    sys.exit(1)
"""
TWO = {
    "StartAt": "A",
    "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "End": True}},
}


def objects(place: Path) -> list[dict[str, Any]]:
    scaling = {"idleSeconds": 2, "windowSeconds": 2, "burstWindowSeconds": 1, "maxReplicas": 1}
    sized = {"requests": {"cpu": "500m", "memory": "1Gi"}}
    service = {
        "runtime": "python3",
        "handler": "main.handler",
        "code": {"inline": CODE},
        "scaling": scaling,
        "resources": sized,
    }
    job = {
        "workload": "Job",
        "image": "example.com/film:1",
        "command": [sys.executable, "-c", FAILS_ONCE],
        "env": [{"name": "PLACE", "value": str(place)}],
        "resources": sized,
    }
    return [
        made("Function", "serve", service),
        made("Function", "film", job),
        made("Workflow", "order", {"definition": TWO}),
    ]


def made(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    head = {"apiVersion": "torpor.dev/v1alpha1", "kind": kind}
    return {**head, "metadata": {"name": name}, "spec": spec}


async def torpor(*words: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "torpor.cli.main", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Run the folder; yield the addresses that it prints, by the name of their variable."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "torpor.cli.main", "dev", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout
    try:
        found: dict[str, str] = {}
        said: list[str] = []
        async with asyncio.timeout(60):
            while "logs in" not in (line := (await process.stdout.readline()).decode()):
                said.append(line)
                assert line, f"torpor dev ended: {said}"
                found |= dict(re.findall(r"(TORPOR_[A-Z]+)=(http://[^\s)]+)", line))
                if "/function/" in line:
                    found["url"] = re.findall(r"http://127\.0\.0\.1:\d+", line)[0]
        drained = asyncio.create_task(process.stdout.read(), name="output of torpor dev")
        yield found
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(40):
            await drained
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def settled(cost: dict[str, str]) -> dict[str, Any]:
    """Return the bill as soon as the pod has been idle to its end and the run is over."""
    before: object = None
    async with asyncio.timeout(60):
        while True:
            told = json.loads(await torpor("cost", "-o", "json", **cost))
            items = {item["name"]: item["parts"] for item in told["items"]}
            over = items.get("default/film", {}).get("useful", 0) > 0
            if over and items == before:
                return dict(told)
            before = items
            await asyncio.sleep(2)


@pytest.mark.timeout(180)
async def test_a_folder_at_work_and_its_bill(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(objects(tmp_path_factory.mktemp("job"))))
    began = time.time()
    async with serving(tmp_path) as at, ClientSession() as http:
        async with http.post(f"{at['url']}/function/default/film/") as run:
            assert run.status == 202
        for _ in range(REQUESTS):
            async with http.get(f"{at['url']}/function/default/serve/") as answer:
                assert await answer.text() == "done"
        workflows = {"TORPOR_WORKFLOWS": at["TORPOR_WORKFLOWS"]}
        await torpor("workflow", "run", "order", "--watch", **workflows)
        dashboard = {"TORPOR_DASHBOARD": at["TORPOR_DASHBOARD"]}
        told = await settled(dashboard)
        lambda_ = json.loads(
            await torpor("cost", "--prices", "aws-lambda-x86", "-o", "json", **dashboard)
        )
        text = await torpor("cost", **dashboard)

    assert began - 60 < told["since"] < time.time()
    items = {item["name"]: item for item in told["items"]}
    second = 0.096 * 0.25 / 3600  # half of two vCPUs
    serve = {phase: money / second for phase, money in items["default/serve"]["parts"].items()}
    assert REQUESTS * SECONDS * 0.5 < serve["useful"] < REQUESTS * SECONDS + 3
    assert 0 < serve["start"] < 15
    assert 1.5 < serve["idle"] < 15
    assert serve["redone"] == 0
    film = {phase: money / second for phase, money in items["default/film"]["parts"].items()}
    assert items["default/film"]["kind"] == "runs"
    assert 0.5 <= film["useful"] < 10, "the attempt that succeeded"
    assert 0.5 <= film["redone"] < 10, "the one that was lost"
    assert told["now"] == pytest.approx(sum(item["amount"] for item in told["items"]))
    assert told["month"] > told["now"]
    assert told["crossoverRequests"] > 0
    billed = {item["name"]: item["parts"] for item in lambda_["items"]}
    assert billed["default/order"]["transitions"] == pytest.approx(2 * 0.000025)
    assert billed["default/serve"]["requests"] == pytest.approx(REQUESTS * 0.0000002)
    inside = billed["default/serve"]["useful"] / 0.0000166667  # a GiB
    assert REQUESTS * SECONDS * 0.5 < inside < REQUESTS * SECONDS * 2
    assert re.search(r"function +default/serve", text)
    assert "counters begin anew with each process" in text
