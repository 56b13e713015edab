"""A transcode as a run of several indexes, whose pods are deleted and whose node is drained."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.api import Json, until
from tests.cluster.harness import SYSTEM, Lab, kubectl
from tests.cluster.runs import BUCKET, STORE, Runs, bucket
from tests.support.servers.versitygw import ObjectServer, needs_versitygw
from tests.support.transcode_victim import make_clip
from torpor.platform.kubernetes.resources import DEPLOYMENTS, NODES
from torpor.resources.names import LABEL_RUN

pytestmark = pytest.mark.timeout(300)

SLOW = {"requests": {"cpu": "10m"}, "limits": {"cpu": "500m"}}
"""For the run that is disturbed: it must not be over before."""
IMAGE = os.environ.get("TORPOR_TEST_FFMPEG", "torpor/runtime-ffmpeg:dev")
SECONDS = 32
JOB = {"completions": 2, "parallelism": 2, "retries": {"perIndex": 0}, "checkpoint": STORE}
"""No attempt is to be used up: the first that is fails the run."""


@needs_versitygw
async def test_pods_deleted_and_a_node_drained_the_files_are_the_same(
    lab: Lab, tmp_path: Path
) -> None:
    clip = await asyncio.to_thread(make_clip, tmp_path / "clip.mp4", SECONDS)
    async with bucket() as store, Runs.of(lab) as runs:
        await runs.function("encode", store, image=IMAGE, job=JOB)
        await runs.function("slow", store, image=IMAGE, job=JOB, resources=SLOW)
        calm = await transcode(runs, store, "encode", clip, "calm")
        undisturbed = await runs.ended(calm, within=120)
        rough = await transcode(runs, store, "slow", clip, "rough")
        await committed(store, "rough", 3)
        first = await active(runs, rough)
        assert len(first) == 2
        for pod in first:
            await runs.delete(pod)
        await until("other pods", lambda: others(runs, rough, first), within=60)
        await committed(store, "rough", 7)
        moved = await active(runs, rough)
        async with drained(lab, str(moved[0]["spec"]["nodeName"]), rough) as said:
            assert f"evicting pod {lab.namespace}/{moved[0]['metadata']['name']}" in said
        ends = [undisturbed, await runs.ended(rough, within=120)]
        for told in ends:
            print(
                told["state"], told["indexes"], told["progress"], told["podSeconds"], "pod seconds"
            )
        assert [(told["state"], told["attempt"]) for told in ends] == [("Succeeded", 1)] * 2
        results = [await asyncio.to_thread(result, store, name) for name in ("calm", "rough")]
    print(
        f"{len(results[0])} files, the same after", len(first) + len(moved), "pods were taken away"
    )
    assert "h264-180p.mp4" in results[0]
    assert results[0] == results[1]


async def transcode(runs: Runs, store: ObjectServer, function: str, clip: Path, name: str) -> str:
    """Put a clip into the bucket and start the run that transcodes it; return its id."""
    client = await asyncio.to_thread(store.client)
    await asyncio.to_thread(client.upload_file, str(clip), BUCKET, f"{name}.mp4")
    asked: Mapping[str, Any] = {
        "source": f"s3://{BUCKET}/{name}.mp4",
        "to": f"s3://{BUCKET}/{name}",
        "variants": ["h264-180p"],
        "unitSeconds": 2,
        "threads": 1,
        "speed": "good",
        "package": ["hls"],
    }
    return await runs.start(function, asked)


async def committed(store: ObjectServer, name: str, least: int) -> int:
    """Wait until so many units of a clip's work are committed."""

    def count() -> int | None:
        plans = (store.folder / BUCKET).glob("transcode-*/plan.json")
        ours = [plan.parent for plan in plans if f"/{name}.mp4" in plan.read_text()]
        found = [path for folder in ours for path in folder.glob("seg/**/*.json")]
        return len(found) if len(found) >= least else None

    return await until(f"{least} units of {name}", lambda: asyncio.to_thread(count), within=120)


def result(store: ObjectServer, name: str) -> dict[str, str]:
    """Return the hash of each file that was made."""
    done = json.loads((store.folder / BUCKET / name / "done.json").read_text())
    return {file["path"]: file["sha256"] for file in done["outputs"]}


async def active(runs: Runs, run: str) -> list[Json]:
    """Return the pods of a run that neither ended nor are told to."""
    return [
        pod
        for pod in await runs.pods(run)
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]


async def others(runs: Runs, run: str, before: list[Json]) -> list[Json] | None:
    """Return the pods of a run, once they are as many as before and none of those."""
    gone = {pod["metadata"]["uid"] for pod in before}
    now = [pod for pod in await active(runs, run) if pod["metadata"]["uid"] not in gone]
    return now if len(now) == len(before) else None


@asynccontextmanager
async def drained(lab: Lab, node: str, run: str) -> AsyncIterator[str]:
    """Drain a node for as long as the context lasts; yield what kubectl said.

    Of all that is on it; of the run's pods only where it is the only node, so that Torpor stays.
    """
    only = len(await lab.api.items(NODES, "")) == 1
    chosen = [f"--pod-selector={LABEL_RUN}={run}"] if only else []
    how = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=90s")
    try:
        yield await asyncio.to_thread(kubectl, "drain", node, *how, *chosen, timeout=120)
    finally:
        await asyncio.to_thread(kubectl, "uncordon", node)
    await until("Torpor as it was", lambda: whole(lab), within=120, every=1.0)


async def whole(lab: Lab) -> bool | None:
    """Return True once no pod of Torpor is missing."""
    found = [deployment["status"] for deployment in await lab.api.items(DEPLOYMENTS, SYSTEM)]
    return True if not any(status.get("unavailableReplicas") for status in found) else None
