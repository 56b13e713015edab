"""How a run is, from its Job, its pods and what was told of it before. Pure.

What was learned is kept: pods that ended are deleted with their nodes, results and reasons are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from torpor.functions.runs import words
from torpor.functions.runs.progress import Progress, together, whole
from torpor.functions.runs.seen import RunJob, RunPod, indexes_of
from torpor.functions.runs.words import EXIT_BAD_INPUT, EXIT_STOPPED
from torpor.resources.run import BAD_INPUT, Indexes, Run, RunState

MAX_RESULTS_BYTES = 100_000
"""Of all indexes together: an object's annotations may have 256 KiB."""
_TOO_MANY = (
    f"the results are over {MAX_RESULTS_BYTES} bytes together: have the program store them, "
    "and give where they are"
)
_LATE_SECONDS = 30
"""How long after its grace a pod may take to be gone, before its node counts as lost."""
_OUT_OF_MEMORY = "OOMKilled"


@dataclass(frozen=True, slots=True)
class Counted:
    """How long pods ran that ended by `until` (RFC 3339), together."""

    seconds: float = 0.0
    until: str = ""


@dataclass(frozen=True, slots=True)
class Learned:
    """What is known of a run beside its Job and pods.

    `before` is what was told last. `progress` is what the pods told, by index. `blocked` is why
    Kubernetes makes no pods for it, in its own words. `earlier` is what was counted before these
    pods were. `now` is RFC 3339; while it is empty, no pod is late.
    """

    before: Run | None = None
    earlier: Counted = Counted()
    now: str = ""
    progress: Mapping[int, Progress] = field(default_factory=dict)
    blocked: str = ""


def run_state(job: RunJob, pods: Sequence[RunPod], learned: Learned) -> Run:
    """Return how the run is now; equal to `learned.before` when there is nothing new to tell."""
    before = learned.before or Run(job.id, job.key)
    succeeded = indexes_of(job.completed_indexes)
    started = before.started or min((pod.started for pod in pods if pod.started), default="")
    state = _state(job, started)
    reason, message = _why(job, pods, learned, state)
    result, lost = _result(job, pods, before.result)
    progress = together(learned.progress, succeeded, job.completions) or before.progress
    if lost:
        reason, message = words.RESULT_TOO_LARGE, lost
    return Run(
        id=job.id,
        key=job.key,
        state=state,
        reason=reason,
        message=message[: words.MAX_MESSAGE],
        created=job.created,
        started=started,
        finished=_finished(job),
        attempt=max([before.attempt, *(pod.attempt for pod in pods)]),
        indexes=Indexes(
            succeeded=len(succeeded),
            failed=len(indexes_of(job.failed_indexes)),
            active=0 if state.is_final else job.active,
            total=job.completions,
        ),
        progress=whole(progress) if progress and state is RunState.SUCCEEDED else progress,
        result=result,
        pod_seconds=max(before.pod_seconds, counted(pods, learned.earlier).seconds),
    )


def counted(pods: Iterable[RunPod], earlier: Counted) -> Counted:
    """Return what was counted earlier with what these pods add to it."""
    new = [pod for pod in pods if pod.finished > earlier.until]
    seconds = earlier.seconds + sum(map(seconds_of, new))
    return Counted(round(seconds, 1), max([earlier.until, *(pod.finished for pod in new)]))


def seconds_of(pod: RunPod) -> float:
    """Return how long the pod's program ran, 0 while it has not ended."""
    if not pod.started or not pod.finished:
        return 0.0
    ran = datetime.fromisoformat(pod.finished) - datetime.fromisoformat(pod.started)
    return max(0.0, ran.total_seconds())


def _state(job: RunJob, started: str) -> RunState:
    if job.is_over and job.cancelled and not (job.ending and job.ending.succeeded):
        return RunState.CANCELLED
    if job.ending:
        return RunState.SUCCEEDED if job.ending.succeeded else RunState.FAILED
    return RunState.RUNNING if started else RunState.PENDING


def _finished(job: RunJob) -> str:
    if job.ending:
        return job.ending.at
    return job.cancelled if job.is_over else ""


def _why(job: RunJob, pods: Sequence[RunPod], learned: Learned, state: RunState) -> tuple[str, str]:
    match state:
        case RunState.SUCCEEDED:
            return "", job.device
        case RunState.CANCELLED:
            return words.cancelled(job.cancelled)
        case RunState.FAILED:
            return _failure(job, pods, learned.before)
    if job.cancelled:
        return "Cancelling", "its pods have been told to stop"
    if lost := _lost(pods, learned.now):
        return lost
    return _waiting(job, pods, learned.blocked) or _retrying(job, pods) or ("", job.device)


def _lost(pods: Sequence[RunPod], now: str) -> tuple[str, str] | None:
    """Return what is known of a pod whose node does not answer; None if there is none."""
    if not now:
        return None
    late = datetime.fromisoformat(now) - timedelta(seconds=_LATE_SECONDS)
    for pod in sorted(pods, key=lambda pod: pod.index):
        if pod.due and pod.exit_code is None and datetime.fromisoformat(pod.due) < late:
            text = f"index {pod.index} was told to stop, and node {pod.node} does not say that it "
            text += "has: it is started anew once the Node is back, deleted, or tainted "
            return "NodeLost", f"{text}node.kubernetes.io/out-of-service:NoExecute"
    return None


def _waiting(job: RunJob, pods: Sequence[RunPod], blocked: str) -> tuple[str, str] | None:
    """Return why nothing of it runs; None if something does."""
    if any(pod.is_running for pod in pods):
        return None
    if job.suspended:
        return "Queued", f"it waits until Kueue's queue {job.queue} admits it"
    if blocked:
        return "FailedCreate", blocked
    waiting = [pod for pod in pods if pod.reason and not pod.leaving]
    if waiting:
        troubled = min(waiting, key=lambda pod: (pod.reason == "Starting", pod.index))
        where = f" on {troubled.node}" if troubled.node and troubled.reason == "Starting" else ""
        return troubled.reason, f"{troubled.message}{where}"
    if retried := _retrying(job, pods):
        return retried
    return ("Created", "its pods are being made") if not pods else None


def _retrying(job: RunJob, pods: Sequence[RunPod]) -> tuple[str, str] | None:
    """Return what is started anew; None if nothing had to be."""
    ended = [pod for pod in pods if pod.exit_code]
    done = {pod.index for pod in pods if pod.exit_code == 0 or pod.is_running}
    done.update(indexes_of(job.completed_indexes))
    again = [pod for pod in ended if pod.index not in done]
    if not again:
        return None
    last = max(again, key=lambda pod: (pod.finished, pod.name))
    if last.disrupted or last.exit_code == EXIT_STOPPED:
        return "Disrupted", f"index {last.index} was stopped on its node and is started anew"
    return "Retrying", f"index {last.index}: {_ended(last)}; it is tried again"


def _failure(job: RunJob, pods: Sequence[RunPod], before: Run | None) -> tuple[str, str]:
    assert job.ending is not None
    if job.ending.reason == "DeadlineExceeded":
        return words.too_late(job.timeout_seconds)
    failures = list(_failures(pods, set(indexes_of(job.failed_indexes))))
    if not failures:
        told = before if before and before.reason in ("Retrying", "Failed") else None
        return "Failed", told.message if told else job.ending.message
    texts = [(pod.index, _ended(pod)) for pod in failures]
    return _failure_word(failures[0]), words.failures(texts, job.completions)


def _failure_word(pod: RunPod) -> str:
    if pod.exit_code == EXIT_BAD_INPUT:
        return BAD_INPUT
    return "OutOfMemory" if pod.exit_reason == _OUT_OF_MEMORY else "Failed"


def _failures(pods: Iterable[RunPod], failed: set[int]) -> Iterable[RunPod]:
    """Yield the last pod that failed of each index which did for good."""
    last: dict[int, RunPod] = {}
    for pod in sorted(pods, key=lambda pod: (pod.finished, pod.name)):
        if pod.index in failed and pod.exit_code and not pod.disrupted:
            last[pod.index] = pod
    return (last[index] for index in sorted(last))


def _ended(pod: RunPod) -> str:
    """Return how a program ended: by the reason that it gave, else by its exit code."""
    how = f"exit code {pod.exit_code}"
    if pod.exit_reason not in ("", "Error"):
        how += f" ({pod.exit_reason})"
    return words.failure(how, pod.output)


def _result(job: RunJob, pods: Iterable[RunPod], before: Any) -> tuple[Any, str]:
    """Return the run's result, and why some of it could not be kept."""
    left = {pod.index: pod.output for pod in pods if pod.exit_code == 0}
    lost = words.CUT_RESULT if any(map(words.is_cut, left.values())) else ""
    found = {
        index: None if words.is_cut(text) else words.result_of(text) for index, text in left.items()
    }
    if job.completions == 1:
        return found.get(0, before), lost
    kept = before if isinstance(before, list) else []
    results = [*kept, *[None] * (job.completions - len(kept))]
    for index, value in found.items():
        if index < job.completions:
            results[index] = value
    if all(value is None for value in results):
        return None, lost
    if len(json.dumps(results)) > MAX_RESULTS_BYTES:
        return None, _TOO_MANY
    return results, lost
