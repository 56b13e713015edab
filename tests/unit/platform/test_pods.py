"""What a pod's status means for requests that wait."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.platform_rig import pod
from torpor.platform.base import Instance, Trouble
from torpor.platform.kubernetes.pods import instance_of
from torpor.resources.names import FunctionKey


def looked_at(
    obj: dict[str, Any], seen: dict[str, float] | None = None, now: float = 5
) -> Instance:
    obj["metadata"]["uid"] = "u1"
    instance = instance_of(obj, seen or {}, now)
    assert instance is not None
    return instance


def waiting(reason: str, message: str = "", **last: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": "function", "state": state, "lastState": last}


def condition(kind: str, status: str, **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, **more}


def test_a_ready_pod() -> None:
    found = looked_at(pod("p", podIP="10.0.0.7", conditions=[condition("Ready", "True")]))
    assert found.function == FunctionKey("shop", "hello")
    assert (found.address, found.port, found.ready, found.trouble) == ("10.0.0.7", 9000, True, None)
    assert not found.terminating


def test_a_pod_of_no_function_is_none() -> None:
    obj = pod("p")
    del obj["metadata"]["labels"]
    assert instance_of(obj, {}, 0) is None


@pytest.mark.parametrize(
    "reason",
    [
        "ImagePullBackOff",
        "InvalidImageName",
        "CreateContainerConfigError",
        "RunContainerError",
    ],
)
def test_what_waiting_does_not_mend_is_final(reason: str) -> None:
    found = looked_at(pod("p", containerStatuses=[waiting(reason, "no such image")]))
    assert found.trouble == Trouble(reason, "no such image", final=True)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("CreateContainerConfigError", "failed to sync configmap cache: timed out waiting for …"),
        ("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for …"),
        ("CreateContainerConfigError", "services have not yet been read at least once, cannot …"),
        ("CreateContainerError", "context deadline exceeded"),
        ("CreateContainerError", 'failed to reserve container name "a": name "a" is reserved'),
        ("RunContainerError", "context deadline exceeded"),
    ],
)
def test_what_a_busy_node_does_again_is_waited_for(reason: str, message: str) -> None:
    found = looked_at(pod("p", containerStatuses=[waiting(reason, message)]))
    assert found.trouble == Trouble(reason, message, final=False)


def test_a_crash_loop_says_how_it_ended_and_the_programs_words_are_not_public() -> None:
    last = {"exitCode": 1, "reason": "Error", "message": "Traceback\nKeyError: 'TOKEN'\n"}
    status = waiting("CrashLoopBackOff", "back-off 10s", terminated=last)
    found = looked_at(pod("p", containerStatuses=[status]))
    told = "exit code 1: KeyError: 'TOKEN'"
    assert found.trouble == Trouble("CrashLoopBackOff", told, True, "exit code 1: KeyError")


def test_a_crash_loop_that_does_not_say_how_it_ended_says_what_the_kubelet_does() -> None:
    found = looked_at(pod("p", containerStatuses=[waiting("CrashLoopBackOff", "back-off 10s")]))
    assert found.trouble == Trouble("CrashLoopBackOff", "back-off 10s", final=True)


@pytest.mark.parametrize("turn", ["RunContainerError", "CrashLoopBackOff", "terminated"])
def test_a_container_in_which_nothing_ever_ran_is_told_alike_in_every_turn(turn: str) -> None:
    last = {"exitCode": 128, "reason": "StartError", "message": 'exec: "nosuch": not found'}
    status = waiting(turn, "back-off 10s", terminated=last)
    if turn == "terminated":
        status = {"name": "function", "state": {"terminated": last}}
    found = looked_at(pod("p", containerStatuses=[status]))
    how = "exit code 128 (StartError)"
    told = f'{how}: exec: "nosuch": not found'
    assert found.trouble == Trouble("RunContainerError", told, final=True, public=how)


def test_a_pull_that_fails_and_one_that_is_waited_for_are_one_trouble() -> None:
    found = looked_at(pod("p", containerStatuses=[waiting("ErrImagePull", "not found")]))
    assert found.trouble == Trouble("ImagePullBackOff", "not found", final=True)


def test_out_of_memory_is_named_and_may_pass() -> None:
    state = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    found = looked_at(pod("p", containerStatuses=[{"name": "function", "state": state}]))
    how = "exit code 137 (OOMKilled)"
    assert found.trouble == Trouble("OOMKilled", how, final=False, public=how)


def test_unschedulable_may_pass_and_tells_the_schedulers_words() -> None:
    words = "0/3 nodes are available: 3 Insufficient cpu."
    conditions = [condition("PodScheduled", "False", reason="Unschedulable", message=words)]
    found = looked_at(pod("p", conditions=conditions))
    assert found.trouble == Trouble("Unschedulable", words, final=False)


def test_being_created_is_no_trouble() -> None:
    assert looked_at(pod("p", containerStatuses=[waiting("ContainerCreating")])).trouble is None


def test_the_announcer_does_not_count() -> None:
    announcer = {**waiting("ImagePullBackOff"), "name": "announcer"}
    running = {"name": "function", "state": {"running": {}}}
    assert looked_at(pod("p", containerStatuses=[announcer, running])).trouble is None


def test_code_that_cannot_be_fetched_is_the_trouble() -> None:
    words = "ArchiveError: https://host/code.zip answered 404: no archive was fetched"
    ended = {"terminated": {"exitCode": 1, "message": words}}
    fetcher = {**waiting("CrashLoopBackOff", "back-off", **ended), "name": "code"}
    statuses: dict[str, Any] = {
        "initContainerStatuses": [fetcher],
        "containerStatuses": [waiting("PodInit")],
    }
    found = looked_at(pod("p", **statuses)).trouble
    assert found is not None
    assert (found.reason, found.final) == ("CrashLoopBackOff", True)
    assert words in found.message
    assert found.public == "exit code 1: ArchiveError"
    done = {"name": "code", "state": {"terminated": {"exitCode": 0}}}
    assert looked_at(pod("p", **{**statuses, "initContainerStatuses": [done]})).trouble is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_ended_is_leaving(phase: str) -> None:
    assert looked_at(pod("p", phase=phase)).terminating


def test_a_deleted_pod_is_leaving() -> None:
    obj = pod("p")
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert looked_at(obj).terminating


def test_phases_keep_the_moment_at_which_they_were_first_seen() -> None:
    first = looked_at(pod("p", conditions=[condition("PodScheduled", "True")]), now=1)
    assert first.seen == {"created": 1, "scheduled": 1}
    running = {"name": "function", "state": {"running": {}}}
    second = looked_at(pod("p", containerStatuses=[running]), dict(first.seen), now=2)
    assert second.seen == {"created": 1, "scheduled": 1, "started": 2}
