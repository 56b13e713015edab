"""`torpor run`, and `torpor invoke` of Job Functions, against an API server with Jobs and pods."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from tests.unit.cli.conftest import Torpor
from tests.unit.cli.fake_cluster import PROXY, FakeCluster
from torpor.cli.run import texts
from torpor.resources.names import FunctionKey
from torpor.resources.run import Indexes, Run, RunState, run_location
from torpor.resources.run_details import RunDetails

KEY = FunctionKey("shop", "encode")
DONE = Run(
    "encode-1",
    KEY,
    RunState.SUCCEEDED,
    created="2026-01-01T00:00:00Z",
    started="2026-01-01T00:00:05Z",
    finished="2026-01-01T01:10:05Z",
    indexes=Indexes(succeeded=2, total=2),
    result=[{"frames": 7}, None],
    pod_seconds=3600.0,
)
PROGRESS = {
    "done": 450.0,
    "total": 1000.0,
    "unit": "frames",
    "ratio": 0.45,
    "speed": 30.5,
    "leftSeconds": 185.0,
    "message": "h264-720p",
}
GOING = replace(
    DONE,
    id="encode-2",
    state=RunState.RUNNING,
    created="2026-01-02T00:00:00Z",
    finished="",
    indexes=Indexes(active=1, total=2),
    progress=PROGRESS,
    result=None,
)
PENDING = replace(
    GOING,
    id="encode-3",
    state=RunState.PENDING,
    created="2026-01-03T00:00:00Z",
    started="",
    reason="Unschedulable",
    message="0/3 nodes are available: 3 Insufficient nvidia.com/gpu",
    progress=None,
)
JOBS = "/apis/batch/v1"
PODS = "/api/v1/namespaces/shop/pods"


def job(run: Run) -> dict[str, Any]:
    labels = {"torpor.dev/run": run.id, "torpor.dev/run-of": run.key.name}
    return {
        "metadata": {
            "name": run.id,
            "namespace": run.key.namespace,
            "uid": f"uid-{run.id}",
            "resourceVersion": "1",
            "creationTimestamp": run.created,
            "labels": labels,
            "annotations": {"torpor.dev/run": json.dumps(run.to_json())},
        },
        "spec": {
            "completions": run.indexes.total,
            "template": {"metadata": {"annotations": {"torpor.dev/run-input": '{"film": 1}'}}},
        },
        "status": {},
    }


def pod(run: Run, index: int, attempt: int, state: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"{run.id}-{index}-{attempt}",
            "namespace": "shop",
            "uid": f"{index}{attempt}",
            "labels": {"torpor.dev/run": run.id},
            "annotations": {
                "batch.kubernetes.io/job-completion-index": str(index),
                "batch.kubernetes.io/job-index-failure-count": str(attempt - 1),
            },
        },
        "spec": {"nodeName": "node-a"},
        "status": {"containerStatuses": [{"name": "function", "state": state}]},
    }


def crashed(code: int) -> dict[str, Any]:
    times = {"startedAt": "2026-01-01T00:00:05Z", "finishedAt": "2026-01-01T00:00:06Z"}
    return {"terminated": {"exitCode": code, "reason": "OOMKilled", **times}}


RUNS = {"running": {"startedAt": "2026-01-01T00:00:09Z"}}


@pytest.fixture
def runs(cluster: FakeCluster) -> FakeCluster:
    jobs = [job(run) for run in (DONE, GOING, PENDING)]
    cluster.objects[f"{JOBS}/jobs"] = {"items": jobs}
    cluster.objects[f"{JOBS}/namespaces/shop/jobs"] = {"items": jobs}
    for obj in jobs:
        cluster.objects[f"{JOBS}/namespaces/shop/jobs/{obj['metadata']['name']}"] = obj
    pods = [pod(GOING, 0, 1, crashed(137)), pod(GOING, 0, 2, RUNS), pod(GOING, 1, 1, crashed(0))]
    cluster.objects[PODS] = {"items": pods}
    for item in pods:
        name = item["metadata"]["name"]
        cluster.texts[f"{PODS}/{name}/log"] = f"hello from {name}\n"
    return cluster


async def test_list_shows_what_goes_on_the_newest_first(runs: FakeCluster, torpor: Torpor) -> None:
    done = await torpor("run", "list")
    rows = [line.split() for line in done.out.splitlines()]
    assert [row[:4] for row in rows[1:]] == [
        ["encode-3", "encode", "Pending", "-"],
        ["encode-2", "encode", "Running", "45%"],
    ]
    assert "Insufficient nvidia.com/gpu" in done.out


async def test_list_of_all_in_every_form(runs: FakeCluster, torpor: Torpor) -> None:
    everywhere = await torpor("run", "list", "-A", "--all")
    assert everywhere.out.splitlines()[3].split()[:4] == ["shop", "encode-1", "encode", "Succeeded"]
    names = await torpor("run", "list", "--all", "-o", "name")
    assert names.out == "run/encode-3\nrun/encode-2\nrun/encode-1\n"
    as_json = await torpor("run", "list", "--all", "-o", "json")
    assert json.loads(as_json.out)["items"][2] == DONE.to_json()
    other = await torpor("run", "list", "--function", "other")
    assert other.err == (
        "torpor run: no run goes on in shop; -A looks everywhere, "
        "--all shows those that have ended\n"
    )


async def test_show_tells_progress_attempts_and_cost(runs: FakeCluster, torpor: Torpor) -> None:
    done = await torpor("run", "show", "shop/encode-2", "--pod-hour", "1.5")
    told = dict(line.split(maxsplit=1) for line in done.out.split("\n\n")[0].splitlines())
    assert told["progress"] == ("45.0%, 450 of 1000 frames, 30.5 frames/s, 3m 5s left, h264-720p")
    assert told["indexes"] == "2 indexes: 1 active"
    assert told["cost"] == "3600.0 pod seconds, 1.5000 at 1.5 a pod-hour"
    attempts = [line.split(maxsplit=3) for line in done.out.split("\n\n")[1].splitlines()[1:]]
    assert attempts == [
        ["0", "1", "node-a", "exit code 137, OOMKilled"],
        ["0", "2", "node-a", "runs"],
        ["1", "1", "node-a", "succeeded"],
    ]


async def test_show_says_why_a_run_waits_and_what_came_of_one(
    runs: FakeCluster, torpor: Torpor
) -> None:
    waiting = await torpor("run", "show", "encode-3")
    assert f"Unschedulable: {PENDING.message}" in waiting.out
    ended = await torpor("run", "show", "encode-1")
    assert "took      1h 10m" in ended.out
    assert '"frames": 7' in ended.out
    whole = await torpor("run", "show", "encode-1", "-o", "yaml")
    assert "film" in whole.out
    missing = await torpor("run", "show", "encode-9")
    assert missing.code == 1
    assert "there is no run shop/encode-9" in missing.err


async def test_logs_are_of_the_last_attempts_or_of_all(runs: FakeCluster, torpor: Torpor) -> None:
    last = await torpor("run", "logs", "encode-2")
    assert sorted(last.out.splitlines()) == [
        "[0.2] hello from encode-2-0-2",
        "[1.1] hello from encode-2-1-1",
    ]
    every = await torpor("run", "logs", "encode-2", "--all", "--index", "0")
    assert sorted(every.out.splitlines()) == [
        "[0.1] hello from encode-2-0-1",
        "[0.2] hello from encode-2-0-2",
    ]
    none = await torpor("run", "logs", "encode-2", "--index", "7")
    assert (none.code, none.err) == (
        *(1, "torpor run: run shop/encode-2 has indexes 0 to 1, not 7\n"),
    )


def accepted(run: Run) -> web.Response:
    location = run_location(run.key.namespace, run.id)
    body = {"id": run.id, "location": location}
    return web.json_response(body, status=202, headers={"Location": PROXY + location})


async def test_retry_starts_another_run_with_the_same_input(
    runs: FakeCluster, torpor: Torpor
) -> None:
    runs.answers = iter([accepted(GOING), web.json_response(DONE.to_json())])
    done = await torpor("run", "retry", "encode-1", "--follow")
    assert (done.code, done.out) == (0, "encode-2\n")
    asked = runs.received[0]
    assert (asked.method, asked.path, asked.body) == (
        *("POST", "/function/shop/encode/", b'{"film": 1}'),
    )
    assert len(asked.headers["idempotency-key"]) == 36


async def test_cancel_goes_through_the_gateway(runs: FakeCluster, torpor: Torpor) -> None:
    runs.answers = iter([web.json_response(GOING.to_json()), accepted(GOING)])
    done = await torpor("run", "cancel", "encode-2")
    assert done.code == 0
    asked = runs.received[1]
    assert (asked.method, asked.path) == ("DELETE", "/function/@runs/shop/encode-2")


async def test_cancelling_what_has_ended_says_so(runs: FakeCluster, torpor: Torpor) -> None:
    runs.answers = iter([web.json_response(DONE.to_json())])
    done = await torpor("run", "cancel", "encode-1")
    assert (done.code, done.err) == (1, "shop/encode-1 has ended: Succeeded\n")


async def test_retrying_a_run_whose_function_is_gone_names_it(
    runs: FakeCluster, torpor: Torpor
) -> None:
    said = {"code": "unknown-function", "detail": "no function has this address"}
    runs.answers = iter([web.json_response(said, status=404)])
    done = await torpor("run", "retry", "encode-1")
    assert done.code == 1
    assert "there is no function shop/encode any more" in done.err


async def test_a_refusal_is_told(runs: FakeCluster, torpor: Torpor) -> None:
    said = {"code": "runs-unavailable", "detail": "no controller answers: try again"}
    runs.answers = iter([web.json_response(said, status=503)])
    done = await torpor("run", "cancel", "encode-2")
    assert (done.code, done.err) == (1, "torpor run: no controller answers: try again\n")


async def test_a_clusters_gateway_lists_no_runs_and_says_who_does(
    runs: FakeCluster, torpor: Torpor
) -> None:
    said = {"code": "unknown-run", "detail": "/function/@runs/ is no run"}
    runs.answers = iter([web.json_response(said, status=404)])
    done = await torpor("run", "list", "--gateway", runs.url)
    assert done.code == 1
    assert "leave out --gateway to see those of the cluster" in done.err


async def test_invoking_a_job_prints_the_runs_id(runs: FakeCluster, torpor: Torpor) -> None:
    runs.answers = iter([accepted(GOING)])
    done = await torpor("invoke", "encode", "-d", "{}")
    assert (done.code, done.out) == (0, "encode-2\n")
    assert "torpor run show shop/encode-2" in done.err


async def test_invoking_a_job_and_waiting_prints_its_result(
    runs: FakeCluster, torpor: Torpor
) -> None:
    told = [GOING, GOING, replace(GOING, progress={**PROGRESS, "ratio": 0.91}), DONE]
    answers = [web.json_response(run.to_json()) for run in told]
    runs.answers = iter([accepted(GOING), *answers])
    done = await torpor("fn", "invoke", "encode", "--wait")
    assert (done.code, json.loads(done.out)) == (0, [{"frames": 7}, None])
    shown = done.err.splitlines()
    assert [line.split()[1] for line in shown[1:3]] == ["45.0%,", "91.0%,"]
    assert shown[-1] == "run encode-1 succeeded"
    assert runs.received[0].method == "POST"


async def test_invoking_a_job_that_fails_is_a_failure(runs: FakeCluster, torpor: Torpor) -> None:
    failed = replace(DONE, state=RunState.FAILED, reason="BadInput", message="no film", result=None)
    runs.answers = iter([accepted(GOING), web.json_response(failed.to_json())])
    done = await torpor("invoke", "encode", "--wait")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1] == "run encode-1 failed: BadInput: no film"


async def test_who_waits_too_long_is_told(runs: FakeCluster, torpor: Torpor) -> None:
    waits = (web.json_response(GOING.to_json()) for _ in range(1000))
    runs.answers = iter([accepted(GOING), *waits])
    done = await torpor("invoke", "encode", "--wait", "--timeout", "0.2")
    assert done.code == 1
    assert "shop/encode-2 has not ended within 0.2 s (--timeout)" in done.err


def test_details_survive_the_wire() -> None:
    details = RunDetails(GOING, (), "in")
    assert RunDetails.from_json(details.to_json()) == details


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (185, "3m 5s"), (7500, "2h 5m")]
)
def test_lengths_of_time(seconds: float, text: str) -> None:
    assert texts.seconds_told(seconds) == text
