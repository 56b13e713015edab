"""How a run is, from its Job and its pods."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from torpor.functions.runs.progress import together, understood
from torpor.functions.runs.seen import RunJob, RunPod, run_job_seen, run_pod_seen
from torpor.functions.runs.state import Counted, Learned, counted, run_state
from torpor.resources.names import LABEL_RUN, LABEL_RUN_OF
from torpor.resources.run import Run, RunState

BEGAN, ENDED = "2026-01-01T00:00:10Z", "2026-01-01T00:01:10Z"


def job(*, completions: int = 1, spec: Any = None, notes: Any = None, **status: Any) -> RunJob:
    found = run_job_seen(
        {
            "metadata": {
                "name": "encode-1",
                "namespace": "media",
                "uid": "u",
                "resourceVersion": "5",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {LABEL_RUN: "encode-1", LABEL_RUN_OF: "encode"},
                "annotations": notes or {},
            },
            "spec": {"completions": completions, "activeDeadlineSeconds": 600, **(spec or {})},
            "status": status,
        }
    )
    assert found is not None
    return found


def over(kind: str, reason: str = "", **status: Any) -> dict[str, Any]:
    condition = {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": ENDED}
    return {"conditions": [condition], **status}


def pod(
    state: Any = None, *, index: int = 0, failures: int = 0, name: str = "", **status: Any
) -> RunPod:
    found = run_pod_seen(
        {
            "metadata": {
                "name": name or f"encode-1-{index}-{failures}",
                "namespace": "media",
                "uid": name or f"{index}-{failures}",
                "labels": {LABEL_RUN: "encode-1", LABEL_RUN_OF: "encode"},
                "annotations": {
                    "batch.kubernetes.io/job-completion-index": str(index),
                    "batch.kubernetes.io/job-index-failure-count": str(failures),
                },
            },
            "spec": {"nodeName": "node-1"},
            "status": {
                "containerStatuses": [{"name": "function", "state": state or {}}],
                **status,
            },
        }
    )
    assert found is not None
    return found


def ended(code: int, message: str = "", reason: str = "", **more: Any) -> RunPod:
    state = {"exitCode": code, "message": message, "reason": reason or "Error"}
    times = {"startedAt": BEGAN, "finishedAt": ENDED}
    phase = "Failed" if code else "Succeeded"
    return pod({"terminated": {**state, **times}}, phase=phase, **more)


RUNNING = {"running": {"startedAt": BEGAN}}


def test_a_run_that_was_just_made_is_pending() -> None:
    run = run_state(job(), (), Learned())
    assert (run.state, run.reason) == (RunState.PENDING, "Created")
    assert run.created == "2026-01-01T00:00:00Z"


def test_a_suspended_run_says_which_queue_it_waits_for() -> None:
    waiting = replace(job(spec={"suspend": True}), queue="gpus")
    run = run_state(waiting, (), Learned())
    assert (run.state, run.reason) == (RunState.PENDING, "Queued")
    assert "gpus" in run.message


def test_a_run_without_pods_says_what_kubernetes_says() -> None:
    run = run_state(job(), (), Learned(blocked='pods "x" is forbidden: exceeded quota'))
    assert (run.reason, "exceeded quota" in run.message) == ("FailedCreate", True)


@pytest.mark.parametrize(
    ("state", "status", "reason", "message"),
    [
        (
            {},
            {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
                    }
                ]
            },
            "Unschedulable",
            "Insufficient nvidia.com/gpu",
        ),
        (
            {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}},
            {},
            "ImagePullBackOff",
            "Back-off pulling image",
        ),
        ({"waiting": {"reason": "ContainerCreating"}}, {}, "Starting", "started on node-1"),
    ],
)
def test_why_it_waits_is_said_in_words(state: Any, status: Any, reason: str, message: str) -> None:
    run = run_state(job(active=1), (pod(state, **status),), Learned())
    assert (run.state, run.reason) == (RunState.PENDING, reason)
    assert message in run.message


def test_a_run_with_a_running_pod_runs() -> None:
    run = run_state(job(active=1), (pod(RUNNING),), Learned())
    assert (run.state, run.reason, run.started) == (RunState.RUNNING, "", BEGAN)
    assert run.indexes.active == 1


@pytest.mark.parametrize(
    ("failed", "reason", "message"),
    [
        (ended(1, '{"error": "no such bucket"}'), "Retrying", "no such bucket; it is tried again"),
        (ended(137, reason="OOMKilled"), "Retrying", "exit code 137 (OOMKilled); it is tried"),
        (ended(143), "Disrupted", "is started anew"),
        (
            replace(ended(137), disrupted=True),
            "Disrupted",
            "was stopped on its node and is started anew",
        ),
    ],
)
def test_a_failure_is_told_while_it_is_tried_again(
    failed: RunPod, reason: str, message: str
) -> None:
    run = run_state(job(), (failed,), Learned())
    assert (run.state, run.reason) == (RunState.RUNNING, reason)
    assert message in run.message
    again = pod(RUNNING, failures=1)
    mended = run_state(job(active=1), (failed, again), Learned(run))
    assert (mended.reason, mended.attempt) == ("", 2)


def test_a_pod_that_was_evicted_before_it_ended_is_disrupted() -> None:
    target = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    found = pod({}, phase="Failed", conditions=[target])
    assert (found.disrupted, found.exit_code) == (True, 137)


def test_the_result_is_what_the_program_left_behind() -> None:
    complete = job(**over("Complete", completedIndexes="0"))
    run = run_state(complete, (ended(0, '{"frames": 7}'),), Learned())
    assert (run.state, run.result, run.finished) == (RunState.SUCCEEDED, {"frames": 7}, ENDED)
    assert (run.pod_seconds, run.indexes.succeeded) == (60.0, 1)
    assert run_state(complete, (ended(0, "done"),), Learned()).result == "done"


@pytest.mark.parametrize("said", ["[" * 4000, "[" * 300 + "]" * 300, "NaN", '"\\ud800"', "{"])
def test_a_result_that_is_no_json_for_everybody_is_text(said: str) -> None:
    run = run_state(job(**over("Complete", completedIndexes="0")), (ended(0, said),), Learned())
    assert run.result == said


def test_results_are_a_list_by_index_and_outlive_their_pods() -> None:
    going = job(completions=3, completedIndexes="2", active=2)
    first = run_state(going, (ended(0, "5", index=2),), Learned())
    assert first.result == [None, None, 5]
    complete = job(completions=3, **over("Complete", completedIndexes="0-2"))
    last = run_state(complete, (ended(0, "3", index=0),), Learned(first))
    assert (last.result, last.indexes.succeeded) == ([3, None, 5], 3)


def test_results_that_are_too_long_together_are_not_kept_and_it_is_said() -> None:
    pods = [ended(0, "x" * 4000, index=index) for index in range(40)]
    run = run_state(job(completions=40, active=1), pods, Learned())
    assert (run.result, run.reason) == (None, "ResultTooLarge")


def test_a_result_that_kubernetes_cut_is_none_and_not_half_of_it() -> None:
    done = job(**over("Complete", completedIndexes="0"))
    cut = run_state(done, [ended(0, '["' + "x" * 4094)], Learned())
    assert (cut.state, cut.result, cut.reason) == (RunState.SUCCEEDED, None, "ResultTooLarge")
    whole = run_state(done, [ended(0, json.dumps("x" * 4094))], Learned())
    assert (whole.result, whole.reason) == ("x" * 4094, "")


@pytest.mark.parametrize(
    ("failed", "reason", "message"),
    [
        (ended(64, '{"error": "no video stream"}'), "BadInput", "no video stream"),
        (ended(137, reason="OOMKilled"), "OutOfMemory", "exit code 137 (OOMKilled)"),
        (ended(2), "Failed", "exit code 2"),
    ],
)
def test_a_failed_run_says_why(failed: RunPod, reason: str, message: str) -> None:
    run = run_state(job(**over("Failed", "FailedIndexes", failedIndexes="0")), (failed,), Learned())
    assert (run.state, run.reason, run.message) == (RunState.FAILED, reason, message)


def test_a_failed_run_of_several_says_which_index_failed() -> None:
    failed = job(completions=3, **over("Failed", "FailedIndexes", failedIndexes="1"))
    pods = (ended(0, index=0), ended(64, '{"error": "empty"}', index=1), ended(143, index=2))
    run = run_state(failed, pods, Learned())
    assert (run.message, run.indexes.failed) == ("index 1: empty", 1)


def test_why_it_failed_is_known_though_the_pod_is_gone() -> None:
    before = run_state(job(), (ended(1, '{"error": "disk full"}'),), Learned())
    gone = job(**over("Failed", "FailedIndexes", failedIndexes="0"))
    assert "disk full" in run_state(gone, (), Learned(before)).message


def test_a_run_that_takes_too_long_names_the_setting() -> None:
    run = run_state(job(**over("Failed", "DeadlineExceeded")), (ended(143),), Learned())
    assert (run.state, run.reason) == (RunState.FAILED, "DeadlineExceeded")
    assert "job.timeoutSeconds, which is 600" in run.message


def test_a_cancelled_run_is_cancelled_once_its_pods_are_gone() -> None:
    notes = {"torpor.dev/run-cancelled": BEGAN}
    going = run_state(job(notes=notes, active=1), (pod(RUNNING),), Learned())
    assert (going.state, going.reason) == (RunState.RUNNING, "Cancelling")
    gone = run_state(job(notes=notes, **over("Failed", "DeadlineExceeded")), (), Learned(going))
    assert (gone.state, gone.finished) == (RunState.CANCELLED, ENDED)
    done = run_state(job(notes=notes, **over("Complete")), (), Learned(going))
    assert done.state is RunState.SUCCEEDED, "it was done before it heard of it"
    queued = run_state(job(notes=notes, spec={"suspend": True}), (), Learned())
    assert (queued.state, queued.finished) == (RunState.CANCELLED, BEGAN)


def test_pod_seconds_outlive_a_leader_and_the_pods_it_counted() -> None:
    first = ended(143, index=0)
    earlier = counted([first], Counted())
    before = run_state(job(completions=2), (first,), Learned())
    last = replace(ended(0, index=1), started=ENDED, finished="2026-01-01T00:03:10Z")
    for pods in ((last,), (first, last)):
        run = run_state(job(completions=2), pods, Learned(before, earlier=earlier))
        assert run.pod_seconds == 60 + 120, "counted once, whether its pod is still there or not"


def test_a_pod_of_a_lost_node_is_named_once_its_grace_is_over() -> None:
    left = replace(pod(RUNNING), due="2026-01-01T00:02:00Z")
    going = run_state(job(active=1), (left,), Learned(now="2026-01-01T00:02:20+00:00"))
    assert going.reason == ""
    lost = run_state(job(active=1), (left,), Learned(now="2026-01-01T00:02:40+00:00"))
    assert (lost.state, lost.reason) == (RunState.RUNNING, "NodeLost")
    assert "node-1" in lost.message
    assert "out-of-service" in lost.message


def test_nothing_new_is_the_same_value() -> None:
    seen = (job(active=1), (pod(RUNNING),))
    first = run_state(*seen, Learned())
    assert run_state(*seen, Learned(first)) == first
    assert Run.from_json(first.to_json()) == first


def test_what_succeeded_is_wholly_done_whatever_was_told_last() -> None:
    half = understood({"done": 5, "total": 10, "leftSeconds": 3})
    assert half is not None
    going = run_state(job(active=1), (pod(RUNNING),), Learned(progress={0: half}))
    assert going.progress == half
    done = run_state(job(**over("Complete")), (), Learned(going))
    assert done.progress == {**half, "done": 10, "ratio": 1.0, "leftSeconds": 0.0}


def test_progress_is_taken_field_by_field() -> None:
    told = understood({"done": 5, "total": 10, "speed": float("nan"), "message": "x" * 999, "q": 1})
    assert told is not None
    assert (told["ratio"], told["speed"], len(told["message"])) == (0.5, None, 200)
    assert "q" not in told
    deep = understood({"message": {"no": "text"}, "done": True})
    assert deep is not None
    assert (deep["message"], deep["done"]) == ("", None)
    assert understood([1]) is None


def test_progress_of_several_indexes_is_that_of_all() -> None:
    half = understood({"done": 5, "total": 10, "speed": 2, "leftSeconds": 3, "unit": "frames"})
    assert half is not None
    told = together({0: half, 1: half}, succeeded=[2], total=4)
    assert told is not None
    assert (told["ratio"], told["speed"], told["leftSeconds"]) == (0.5, 4, 3)
    ended = together({0: half, 1: half}, succeeded=[0, 1, 2, 3], total=4)
    assert ended is not None
    assert (ended["done"], ended["total"], ended["ratio"]) == (20, 20, 1.0)
    assert together({}, succeeded=[], total=1) is None
    whole = together({0: half}, succeeded=[0], total=1)
    assert whole is not None
    assert (whole["done"], whole["ratio"]) == (10, 1.0)
