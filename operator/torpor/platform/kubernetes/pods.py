"""What a pod's status means: an instance, its address, and why it does not start. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torpor.platform.base import Instance, Trouble
from torpor.platform.ending import Ending
from torpor.resources import names
from torpor.resources.conditions import IMAGE_PULL
from torpor.resources.names import FunctionKey

DEFAULT_PORT = 8080

_CRASH_LOOP = "CrashLoopBackOff"
_CANNOT_RUN = "RunContainerError"
_NEVER_RAN = frozenset({"ContainerCannotRun", "StartError"})
"""How a container ended in which no program ever ran, whatever the kubelet says of it by turns."""
_SAME = {"ErrImagePull": IMAGE_PULL}
"""What the kubelet tells by turns of one and the same trouble, by the word that we use for both."""
_FINAL_WAITS = frozenset(
    {
        _CRASH_LOOP,
        _CANNOT_RUN,
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        IMAGE_PULL,
        "InvalidImageName",
    }
)
"""Waiting reasons of the kubelet in which a container stays, as far as a request can wait."""

_MAKING = frozenset({"CreateContainerConfigError", "CreateContainerError", _CANNOT_RUN})
_PASSING = (
    "failed to sync ",
    "services have not yet been read at least once",
    "context deadline exceeded",
    "failed to reserve container name",
)
"""What a busy node says while it makes a container: it has not heard yet of the ConfigMap, the
Secret or the Services that this refers to, or a call of its own took too long. It tries again."""

Pod = Mapping[str, Any]


def instance_of(pod: Pod, seen: Mapping[str, float], now: float) -> Instance | None:
    """Return the instance that the pod is; None if it is no function's.

    `seen` are the phases already observed for this uid, `now` the monotonic time of this look.
    """
    meta = pod["metadata"]
    name = (meta.get("labels") or {}).get(names.LABEL_FUNCTION)
    if not name:
        return None
    status = pod.get("status") or {}
    ready = _condition(status, "Ready").get("status") == "True"
    return Instance(
        function=FunctionKey(meta["namespace"], name),
        name=meta["name"],
        uid=meta["uid"],
        address=status.get("podIP") or None,
        port=_port(pod),
        ready=ready,
        terminating="deletionTimestamp" in meta or status.get("phase") in ("Succeeded", "Failed"),
        trouble=None if ready else _trouble(status),
        seen=_seen(status, seen, now),
    )


def _seen(status: Pod, before: Mapping[str, float], now: float) -> dict[str, float]:
    running = (_function_status(status).get("state") or {}).get("running")
    reached = {
        "created": True,
        "scheduled": _condition(status, "PodScheduled").get("status") == "True",
        "started": running is not None,
        "ready": _condition(status, "Ready").get("status") == "True",
    }
    return {phase: before.get(phase, now) for phase in reached if reached[phase] or phase in before}


def _trouble(status: Pod) -> Trouble | None:
    if status.get("phase") == "Failed":
        reason = str(status.get("reason") or "PodFailed")
        return Trouble(reason, str(status.get("message") or "the pod failed"), final=False)
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        reason = str(scheduled.get("reason") or "Unschedulable")
        return Trouble(reason, str(scheduled.get("message") or "no node takes it"), final=False)
    return _container_trouble(_code_status(status)) or _container_trouble(_function_status(status))


def _container_trouble(container: Pod) -> Trouble | None:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    ended = _ending(container)
    public = ended.public if ended else ""
    if ended and not state.get("running") and _never_ran(container):
        return Trouble(_CANNOT_RUN, ended.in_full, final=True, public=public)
    told = str(waiting.get("message") or "")
    if reason in _MAKING and any(part in told for part in _PASSING):
        return Trouble(reason, told, final=False)
    if reason in _FINAL_WAITS:
        if reason == _CRASH_LOOP and ended:
            told = ""  # it says only how long the kubelet waits, another time on every attempt
        message = ": ".join(part for part in (told, ended and ended.in_full) if part)
        return Trouble(_SAME.get(reason, reason), message, final=True, public=public)
    if ended and state.get("terminated"):
        # The kubelet restarts it; CrashLoopBackOff follows if that goes wrong too.
        reason = str(state["terminated"].get("reason") or "Error")
        return Trouble(reason, ended.in_full, final=False, public=public)
    return None


def _ending(container: Pod) -> Ending | None:
    """Return how the container last ended; its last words are its termination message."""
    ended = _terminated(container)
    if ended is None:
        return None
    lines = str(ended.get("message") or "").strip().splitlines()
    how = f"exit code {ended.get('exitCode')}"
    if ended.get("reason") not in (None, "Error", "Completed"):
        how += f" ({ended['reason']})"
    return Ending(how, lines[-1] if lines else "")


def _never_ran(container: Pod) -> bool:
    return (_terminated(container) or {}).get("reason") in _NEVER_RAN


def _terminated(container: Pod) -> Pod | None:
    states = (container.get("state"), container.get("lastState"))
    return next(
        (state["terminated"] for state in states if state and state.get("terminated")), None
    )


def _function_status(status: Pod) -> Pod:
    return _named(status.get("containerStatuses"), names.CONTAINER_FUNCTION)


def _code_status(status: Pod) -> Pod:
    """Return how the container that fetches the code is doing; nothing once it has fetched it."""
    found = _named(status.get("initContainerStatuses"), names.CONTAINER_CODE)
    ended = (found.get("state") or {}).get("terminated") or {}
    return {} if ended.get("exitCode") == 0 else found


def _named(containers: Iterable[Pod] | None, name: str) -> Pod:
    return next((item for item in containers or () if item.get("name") == name), {})


def _condition(status: Pod, kind: str) -> Pod:
    for condition in status.get("conditions") or ():
        if condition.get("type") == kind:
            return condition  # type: ignore[no-any-return]
    return {}


def _port(pod: Pod) -> int:
    for container in (pod.get("spec") or {}).get("containers") or ():
        if container.get("name") == names.CONTAINER_FUNCTION:
            for port in container.get("ports") or ():
                return int(port["containerPort"])
    return DEFAULT_PORT
