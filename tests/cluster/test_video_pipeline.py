"""The video pipeline's folder, applied as it is: two videos at once, and one's run loses its pods.

Each is sent by the demo that people run, which checks all that came of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.cluster.api import Api, Json, until
from tests.cluster.conftest import FAILED, print_state
from tests.cluster.dashboard import Dashboard, passed_on
from tests.cluster.harness import SETTINGS, SYSTEM, Lab, kubeconfig, kubectl
from tests.cluster.traffic import GATEWAY
from tests.support.transcode_victim import make_clip
from torpor.platform.kubernetes.resources import NAMESPACES, PODS
from torpor.resources.names import LABEL_RUN, LABEL_RUN_OF

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "video-pipeline" / "demo.py"
FOLDER = Path(__file__).parent / "video-pipeline"
NAMESPACE = "video-pipeline"
CLIP_SECONDS = 24
WORKED = timedelta(seconds=3)
INDEX = "batch.kubernetes.io/job-completion-index"
DEMO_SECONDS = 400
WATCH = re.compile(r"^  video +(\S+)", re.MULTILINE)
FILES = re.compile(r"right +(\S+\.mp4):")
READY = (
    "rollout status statefulset/database --timeout=240s",
    "rollout status statefulset/storage --timeout=240s",
    "wait job/catalog-schema --for=condition=Complete --timeout=240s",
    "wait functions --all --for=condition=Ready --timeout=240s",
    "wait triggers --all --for=condition=Ready --timeout=240s",
)


@pytest_asyncio.fixture
async def pipeline(cluster: None, request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    """The folder's objects in their namespace, all of them ready; taken away in the end."""
    async with Api(str(kubeconfig())) as api:
        lab = Lab(api, NAMESPACE)
        if not await Dashboard(lab).enabled():
            pytest.skip(f"no dashboard in {SYSTEM}: run `make cluster-install`")
        await until("an earlier one's namespace is gone", lambda: gone(api), within=120)
        try:
            await asyncio.to_thread(kubectl, "apply", "-k", str(FOLDER), timeout=180)
            for words in READY:
                await asyncio.to_thread(kubectl, "-n", NAMESPACE, *words.split(), timeout=250)
            yield lab
        finally:
            if request.node.stash.get(FAILED, False):
                print_state(NAMESPACE)
            await api.delete(NAMESPACES.path("", NAMESPACE))


async def gone(api: Api) -> bool | None:
    return await api.find(NAMESPACES.path("", NAMESPACE)) is None or None


async def test_two_videos_go_through_and_one_whose_pods_are_deleted_ends_the_same(
    pipeline: Lab, tmp_path: Path
) -> None:
    clip = await asyncio.to_thread(make_clip, tmp_path / "clip.mp4", CLIP_SECONDS, "640x360")
    async with passed_on() as url:
        given = environment(url)
        calm, rough = [await sent(clip, given) for _ in range(2)]
        async with asyncio.TaskGroup() as tasks:
            told = [tasks.create_task(ended(each), name="a demo") for each in (calm, rough)]
            deleting = tasks.create_task(delete_pods(pipeline), name="deletes a run's pods")
    outputs = [task.result() for task in told]
    deleted = deleting.result()
    print("deleted:", *(pod["metadata"]["name"] for pod in deleted))
    assert (calm.returncode, rough.returncode) == (0, 0)
    await began_again(pipeline, deleted)
    results = [await fetched(output) for output in outputs]
    assert results[0]
    assert results[0] == results[1]


def environment(url: str) -> Mapping[str, str]:
    """Return what says to the demo where the cluster's APIs are."""
    return {
        **os.environ,
        "TORPOR_GATEWAY": f"http://{GATEWAY}",
        "TORPOR_WORKFLOWS": f"http://127.0.0.1:{SETTINGS.https_port}",
        "TORPOR_EVENTS": f"http://127.0.0.1:{SETTINGS.events_port}",
        "TORPOR_DASHBOARD": url,
    }


async def sent(clip: Path, given: Mapping[str, str]) -> Process:
    words = (str(DEMO), "--namespace", NAMESPACE, "--clip", str(clip))
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        "--seconds",
        str(DEMO_SECONDS),
        env=given,
        stdout=PIPE,
        stderr=STDOUT,
    )


async def ended(demo: Process) -> str:
    """Return what a demo printed once it has ended."""
    try:
        async with asyncio.timeout(DEMO_SECONDS + 60):
            printed, _ = await demo.communicate()
        print(printed.decode(), "---", sep="\n")
        return printed.decode()
    finally:
        if demo.returncode is None:
            demo.kill()
            await demo.wait()


async def delete_pods(lab: Lab) -> list[Json]:
    """Delete the pods of a run that have worked for some seconds; return them."""

    async def working() -> list[Json] | None:
        found = await lab.api.items(PODS, lab.namespace, f"{LABEL_RUN_OF}=transcode")
        pods = [pod for pod in found if has_worked(pod)]
        run = pods[0]["metadata"]["labels"][LABEL_RUN] if pods else None
        return [pod for pod in pods if pod["metadata"]["labels"][LABEL_RUN] == run] or None

    pods = await until("a run that works", working, within=240)
    for pod in pods:
        await lab.api.delete(PODS.path(lab.namespace, pod["metadata"]["name"]))
    return pods


def has_worked(pod: Json) -> bool:
    """Whether a pod runs, and has done so for long enough to have committed something."""
    for status in pod["status"].get("containerStatuses", ()):
        since = status["state"].get("running", {}).get("startedAt")
        if since:
            return datetime.now(UTC) - datetime.fromisoformat(since) > WORKED
    return False


async def began_again(lab: Lab, deleted: list[Json]) -> None:
    """Assert that each of these pods was in the middle: its part of the run has another pod."""
    run = deleted[0]["metadata"]["labels"][LABEL_RUN]
    gone = {pod["metadata"]["name"]: pod["metadata"]["labels"][INDEX] for pod in deleted}
    pods = await lab.api.items(PODS, lab.namespace, f"{LABEL_RUN}={run}")
    again = [
        pod["metadata"]["labels"][INDEX] for pod in pods if pod["metadata"]["name"] not in gone
    ]
    assert set(gone.values()) <= set(again), (gone, again)


async def fetched(printed: str) -> Mapping[str, str]:
    """Return the hash of each file of the video that a demo found right."""
    place = WATCH.search(printed)
    assert place is not None, printed
    found = {}
    async with aiohttp.ClientSession() as client:
        for name in FILES.findall(printed):
            async with client.get(f"{place[1]}{name}") as answer:
                assert answer.status == 200, name
                found[name] = hashlib.sha256(await answer.read()).hexdigest()
    return found
