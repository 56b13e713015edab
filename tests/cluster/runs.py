"""Runs of Job Functions: asked for and watched as callers do, and what is done to their pods."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.cluster.api import Json, until
from tests.cluster.harness import Lab, command
from tests.cluster.traffic import GATEWAY
from tests.support.servers.versitygw import ObjectServer, object_server
from torpor.platform.kubernetes.resources import JOBS, PODS
from torpor.resources.names import LABEL_RUN, LABEL_RUN_OF
from torpor.resources.run import run_location

PROGRAM = """\
import os, signal, time
from torpor.checkpoint import BadInput, Run, Unit

def handler(event, context):
    how = event.get("how", "")
    print("the run is to be", how or "quick", flush=True)
    if how == "bad":
        raise BadInput("the input has no month")
    if how == "crashing" and os.environ["TORPOR_FAILURES"] == "0":
        os._exit(9)
    if how == "hungry":
        bytearray(1 << 30)[::4096] = b"x" * (1 << 18)
    if how in ("waiting", "stubborn"):
        return wait(how)
    return {"said": event.get("say"), "failures": os.environ["TORPOR_FAILURES"]}

def wait(how):
    if how == "stubborn":
        signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    run, unit = Run.from_environment(), Unit("half")
    work = run.checkpoint(run.id)
    if work.committed([unit]):
        return {"resumed": True}
    progress = run.progress(2, "steps")
    with work.claim(unit) as claim:
        claim.commit(b"done")
    progress.advance()
    time.sleep(600)
"""
"""What `how` in the input asks for; `waiting` waits for ever, unless half was committed before."""
PYTHON: Mapping[str, Any] = {
    "runtime": "python3",
    "handler": "main.handler",
    "code": {"inline": PROGRAM},
}
BUCKET = "kept"
STORE = {"store": f"s3://{BUCKET}"}
Check = Callable[[Json], bool]


class Runs:
    """The runs of a test's namespace, over the gateway and in the API."""

    def __init__(self, lab: Lab, client: aiohttp.ClientSession) -> None:
        self.lab = lab
        self._client = client

    @staticmethod
    @asynccontextmanager
    async def of(lab: Lab) -> AsyncIterator[Runs]:
        """Yield them as long as the context lasts."""
        async with aiohttp.ClientSession(f"http://{GATEWAY}") as client:
            yield Runs(lab, client)

    async def function(self, name: str, store: ObjectServer | None = None, **spec: Any) -> None:
        """Apply a Job Function, of PROGRAM unless `image` is given; return when it is Ready."""
        program = {} if "image" in spec else PYTHON
        environment = store.environment() if store else {}
        env = [{"name": key, "value": value} for key, value in environment.items()]
        await self.lab.make(name, workload="Job", env=env, **program, **spec)

    async def start(self, function: str, given: Any, key: str = "") -> str:
        """Ask for a run and return its id."""
        headers = {"Idempotency-Key": key} if key else {}
        path = f"/function/{self.lab.namespace}/{function}"
        async with self._client.post(path, json=given, headers=headers) as answer:
            text = await answer.text()
            assert answer.status == 202, f"{answer.status}: {text}"
            run = str(json.loads(text)["id"])
            assert answer.headers["Location"] == run_location(self.lab.namespace, run)
            return run

    async def get(self, run: str, wait_seconds: int = 0) -> Json:
        """Return a run; one that is final, if it is so in time."""
        place = run_location(self.lab.namespace, run)
        async with self._client.get(place, params={"wait": str(wait_seconds)}) as answer:
            assert answer.status == 200, await answer.text()
            return dict(await answer.json())

    async def is_known(self, run: str) -> bool:
        """Return whether there is such a run."""
        async with self._client.get(run_location(self.lab.namespace, run)) as answer:
            assert answer.status in (200, 404), await answer.text()
            return answer.status == 200

    async def cancel(self, run: str) -> None:
        """Have a run end."""
        async with self._client.delete(run_location(self.lab.namespace, run)) as answer:
            assert answer.status == 202, await answer.text()

    async def shown(self, run: str, what: str, check: Check, within: float = 60) -> Json:
        """Return a run once what is told of it is as `check` wants it; no controller may answer."""

        async def found() -> Json | None:
            place = run_location(self.lab.namespace, run)
            async with self._client.get(place) as answer:
                assert answer.status in (200, 503), await answer.text()
                told = dict(await answer.json())
            return told if answer.status == 200 and check(told) else None

        return await until(f"{run} {what}", found, within)

    async def ended(self, run: str, within: float = 60) -> Json:
        """Return a run once it is final."""
        return await self.shown(run, "ended", lambda told: told["finished"] is not None, within)

    async def job(self, run: str) -> Json:
        """Return the Job of a run."""
        return await self.lab.api.get(JOBS.path(self.lab.namespace, run))

    async def jobs(self, function: str) -> list[Json]:
        """Return all Jobs of a Function's runs."""
        return await self.lab.api.items(JOBS, self.lab.namespace, f"{LABEL_RUN_OF}={function}")

    async def pods(self, run: str) -> list[Json]:
        """Return all pods that there are of a run."""
        return await self.lab.api.items(PODS, self.lab.namespace, f"{LABEL_RUN}={run}")

    async def half_way(self, run: str, store: ObjectServer) -> Json:
        """Return the pod of a run that waits, once half of its work is committed."""
        folder = store.folder / BUCKET / run

        async def running() -> Json | None:
            if not await asyncio.to_thread(lambda: list(folder.rglob("half.json"))):
                return None
            [pod] = await self.pods(run)
            return pod if pod["status"]["phase"] == "Running" else None

        return await until(f"{run} half way", running, within=90)

    async def delete(self, pod: Json) -> None:
        """Delete a pod in order: its program hears SIGTERM, and nothing says why."""
        await self.lab.api.delete(PODS.path(self.lab.namespace, pod["metadata"]["name"]))

    async def evict(self, pod: Json) -> None:
        """Evict a pod, as draining its node does."""
        meta = {"name": pod["metadata"]["name"], "namespace": self.lab.namespace}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
        path = PODS.path(self.lab.namespace, meta["name"])
        await self.lab.api.text("POST", f"{path}/eviction", body)


def is_half_way(told: Json) -> bool:
    """Whether a run's program said that it has done half."""
    return bool(told["progress"] and told["progress"]["ratio"] == 0.5)


@asynccontextmanager
async def bucket() -> AsyncIterator[ObjectServer]:
    """Yield an S3 server on this machine that pods reach, with a BUCKET; or skip."""
    async with object_server(host=await asyncio.to_thread(host_for_pods)) as server:
        client = await asyncio.to_thread(server.client)
        await asyncio.to_thread(client.create_bucket, Bucket=BUCKET)
        yield server


def host_for_pods() -> str:
    """Return this machine's address on the nodes' network; skips where there is none."""
    given = os.environ.get("TORPOR_TEST_HOST")
    if given:
        return given
    form = "{{range .IPAM.Config}}{{.Gateway}} {{end}}"
    found = command("docker", "network", "inspect", "kind", "--format", form)
    addresses = [text for text in found.stdout.split() if ":" not in text]
    if not addresses:
        pytest.skip("no network of kind's: name an address that pods reach in TORPOR_TEST_HOST")
    return addresses[0]
