"""Code from an archive, payloads, volumes and probes, as a cluster runs them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from typing import Any

import pytest

from tests.cluster.api import condition, until
from tests.cluster.harness import SCALING_QUICK, Lab
from tests.cluster.traffic import send

PYTHON = """
from src.prices import per_kilogram

def handler(event, context):
    weight = float(event["queryStringParameters"]["kg"])
    return {"price": weight * per_kilogram(), "memory": context.memory_limit_in_mb}
"""
JAVASCRIPT = """
const { perKilogram } = require('../prices');
exports.handler = async (event, context) => ({
  price: Number(event.queryStringParameters.kg) * perKilogram(),
  memory: context.memoryLimitInMB,
});
"""
SERVES = """
import base64

def handler(event, context):
    return base64.b64decode("{0}")
"""
READS = """
import pathlib

def handler(event, context):
    scratch = pathlib.Path("/scratch/written")
    scratch.write_text("kept")
    return pathlib.Path("/words/greeting").read_text() + scratch.read_text()
"""


def packed() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("src/handlers/quote.py", PYTHON)
        archive.writestr("src/prices.py", "def per_kilogram(): return 4")
        archive.writestr("src/handlers/quote.js", JAVASCRIPT)
        archive.writestr("src/prices.js", "exports.perKilogram = () => 4;")
    return file.getvalue()


async def archive(lab: Lab, sha256: str | None = None) -> dict[str, Any]:
    """Return `code` that a Function of the lab serves, which sleeps until it is asked for it."""
    content = packed()
    source = SERVES.format(base64.b64encode(content).decode())
    await lab.make("packages", runtime="python3", handler="main.handler", code={"inline": source})
    url = f"http://packages.{lab.namespace}.svc/code.zip"
    return {"archive": {"url": url, "sha256": sha256 or hashlib.sha256(content).hexdigest()}}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("runtime", ["python3", "nodejs"])
async def test_a_package_for_lambda_is_fetched_and_runs(lab: Lab, runtime: str) -> None:
    host = await lab.make(
        "quote",
        runtime=runtime,
        handler="src/handlers/quote.handler",
        payload="lambda",
        code=await archive(lab),
        resources={"limits": {"memory": "128Mi"}},
    )
    answer = await send(host, "/?kg=2.5")
    print(f"{runtime}: {answer}")
    assert answer.status == 200, answer
    assert json.loads(answer.body) == {"price": 10, "memory": "128"}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("runtime", ["python3", "nodejs"])
async def test_another_archive_than_the_one_that_is_meant_is_told(lab: Lab, runtime: str) -> None:
    host = await lab.make(
        "quote",
        runtime=runtime,
        handler="src/handlers/quote.handler",
        code=await archive(lab, "0" * 64),
        scaling=dict(SCALING_QUICK),
    )
    answer = await send(host)
    assert (answer.status, b"CrashLoopBackOff" in answer.body) == (503, True), answer

    async def told() -> str | None:
        message = str(condition(await lab.get("quote"), "Ready").get("message"))
        return message if "SHA-256" in message else None

    message = await until("the condition names the archive", told, within=30)
    print(f"{runtime}: {message}")
    assert f"not {'0' * 64}" in message


@pytest.mark.timeout(120)
async def test_volumes_are_where_they_are_asked_for(lab: Lab) -> None:
    await lab.config_map("words", {"greeting": "hello "})
    host = await lab.make(
        "reads",
        runtime="python3",
        handler="main.handler",
        code={"inline": READS},
        volumes=[
            {"name": "words", "mountPath": "/words", "configMap": {"name": "words"}},
            {"name": "scratch", "mountPath": "/scratch", "emptyDir": {"sizeLimit": "1Mi"}},
        ],
    )
    answer = await send(host)
    assert (answer.status, answer.body) == (200, b"hello kept"), answer


@pytest.mark.timeout(120)
async def test_an_image_with_a_readiness_probe_by_http_serves_once_it_is_ready(lab: Lab) -> None:
    host = await lab.make(
        "probed",
        readinessProbe={"httpGet": {"path": "/"}},
        livenessProbe={"tcpSocket": {}, "periodSeconds": 5},
    )
    answer = await send(host)
    seen = await lab.seen("probed")
    assert answer.status == 200, answer
    assert seen.ready == 1
