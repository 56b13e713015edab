"""One trace through all there is, in one `torpor dev`, from an upload to a notification."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.integration.runtimes import needs_node
from tests.support.dev_process import DevProcess, dev_process
from tests.support.postgres import needs_postgres
from tests.support.servers.nats import needs_nats

pytestmark = [needs_nats, needs_node, needs_postgres]

FOLDER = """
apiVersion: v1
kind: Secret
metadata:
  name: storage
  annotations: { torpor.dev/embedded: storage }
stringData: { url: s3://media }
---
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata: { name: begin }
spec:
  runtime: python3
  handler: main.handler
  env:
    - name: STORE
      valueFrom: { secretKeyRef: { name: storage, key: url } }
  code:
    inline: |
      import json, logging, os, pathlib
      from urllib.parse import urlsplit
      def handler(event, context):
          folder = pathlib.Path(urlsplit(os.environ["STORE"]).path)
          metadata = folder / ".metadata"
          metadata.mkdir(exist_ok=True)
          told = {"traceparent": event.headers["traceparent"]}
          (metadata / "one.txt").write_text(json.dumps(told))
          (folder / "one.txt").write_text(event.text)
          logging.getLogger("begin").info("stored")
          return 202, {}, context.trace_id
---
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata: { name: look }
spec:
  runtime: python3
  handler: main.handler
  code:
    inline: |
      def handler(event, context):
          return {"seen": event.json()}
---
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata: { name: crunch }
spec:
  runtime: python3
  handler: main.handler
  workload: Job
  code:
    inline: |
      def handler(event, context):
          return {"n": 1}
---
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata: { name: told }
spec:
  runtime: nodejs
  handler: main.handler
  code:
    inline: |
      exports.handler = () => 200;
---
apiVersion: torpor.dev/v1alpha1
kind: Workflow
metadata: { name: pipe }
spec:
  definition:
    StartAt: Look
    States:
      Look:
        Type: Task
        Resource: arn:aws:lambda:us-east-1:000000000000:function:look
        Next: Crunch
      Crunch:
        Type: Task
        Resource: torpor:job:crunch.sync
        Next: Tell
      Tell:
        Type: Task
        Resource: arn:aws:states:::events:putEvents
        Parameters:
          Entries:
            - { Source: pipe, DetailType: done, EventBusName: media, Detail: { ok: true } }
        End: true
---
apiVersion: torpor.dev/v1alpha1
kind: Trigger
metadata: { name: web }
spec:
  source: { http: { path: /videos } }
  target: { function: { name: begin } }
---
apiVersion: torpor.dev/v1alpha1
kind: Trigger
metadata: { name: stored }
spec:
  source: { storage: { bucket: media, pollSeconds: 0.5 } }
  target: { workflow: { name: pipe } }
---
apiVersion: torpor.dev/v1alpha1
kind: Trigger
metadata: { name: done }
spec:
  source: { bus: { name: media } }
  target: { function: { name: told } }
"""
_SECONDS = 60.0
_LAST = "default/told"


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevProcess]:
    folder = tmp_path_factory.mktemp("folder")
    (folder / "all.yaml").write_text(FOLDER)
    with dev_process(folder) as found:
        found.shown("default/stored trigger Subscribed")
        found.shown("default/done trigger Subscribed")
        yield found


@pytest.fixture(scope="module")
def trace(dev: DevProcess) -> dict[str, Any]:
    """The trace of one request, once its last span is there."""
    return asyncio.run(_traced(dev))


async def _traced(dev: DevProcess) -> dict[str, Any]:
    async with ClientSession() as client, asyncio.timeout(_SECONDS):
        async with client.post(f"{dev.gateway}/videos", data=b"a video") as answer:
            assert answer.status == 202, await answer.text()
            trace_id = await answer.text()
        while True:
            async with client.get(f"{dev.dashboard}/api/traces/{trace_id}") as answer:
                found: dict[str, Any] = await answer.json()
            names = [span["name"] for span in found.get("tree", ())]
            if _LAST in names and not found["orphans"]:  # the execution tells of itself at its end
                return found
            await asyncio.sleep(0.2)


def names_above(trace: dict[str, Any], name: str) -> list[str]:
    """The names of a span and of those that it is below."""
    by_id = {span["spanId"]: span for span in trace["tree"]}
    [span] = [each for each in trace["tree"] if each["name"] == name]
    found = []
    while span is not None:
        found.append(span["name"])
        span = by_id.get(span["parentSpanId"])
    return found


def test_it_is_one_tree_with_one_root_and_no_orphan(trace: dict[str, Any]) -> None:
    assert trace["orphans"] == 0
    assert [span["name"] for span in trace["tree"] if span["depth"] == 0] == ["hold default/begin"]
    assert trace["errors"] == 0
    assert len({span["spanId"] for span in trace["tree"]}) == trace["spans"] == len(trace["tree"])


def test_each_part_is_below_the_one_that_caused_it(trace: dict[str, Any]) -> None:
    assert names_above(trace, _LAST) == [
        "default/told",
        "deliver default/done",
        "route default/media",
        "publish default/media",
        "Tell",
        "default.pipe",
        "deliver default/stored",
        "take default/stored",
        "default/begin",
        "hold default/begin",
    ]
    assert names_above(trace, "run default/crunch")[1:3] == ["Crunch", "default.pipe"]
    assert names_above(trace, "default/look")[1:3] == ["Look", "default.pipe"]


def test_functions_say_what_they_are(trace: dict[str, Any]) -> None:
    by_name = {span["name"]: span for span in trace["tree"]}
    begin, run = by_name["default/begin"], by_name["run default/crunch"]
    assert begin["attributes"]["http.response.status_code"] == 202
    assert begin["attributes"]["faas.coldstart"] == "true"
    assert begin["service"] == "default/begin"
    assert run["attributes"]["torpor.run.outcome"] == "Succeeded"
    assert run["attributes"]["torpor.run.attempts"] == 1
    assert by_name["hold default/begin"]["attributes"]["torpor.cold_start.decide_ms"] >= 0


def test_the_command_prints_the_tree(dev: DevProcess, trace: dict[str, Any]) -> None:
    words = [sys.executable, "-m", "torpor.cli.main", "trace", trace["traceId"]]
    told = subprocess.run(words, env=dev.environment, capture_output=True, text=True, check=True)
    assert "run default/crunch" in told.stdout
    words = [*words, "-o", "json"]
    told = subprocess.run(words, env=dev.environment, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["spans"] == trace["spans"]


def test_the_logs_of_a_function_are_found_by_the_trace(
    dev: DevProcess, trace: dict[str, Any]
) -> None:
    words = [sys.executable, "-m", "torpor.cli.main", "logs", "begin", "--trace", trace["traceId"]]
    told = subprocess.run(words, env=dev.environment, capture_output=True, text=True, check=True)
    [line] = told.stdout.splitlines()
    assert json.loads(line)["msg"] == "stored"
    words[-1] = "0" * 32
    none = subprocess.run(words, env=dev.environment, capture_output=True, text=True, check=True)
    assert none.stdout == ""
