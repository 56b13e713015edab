"""How a local run ends, in the words in which the cluster's runs do. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from torpor.dev.runs.record import IndexState, RunRecord, rfc3339
from torpor.functions.runs.job import EXIT_BAD_INPUT
from torpor.resources.run import RunState

_NAMED_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """A final state, with a CamelCase reason and a sentence."""

    state: RunState
    reason: str = ""
    message: str = ""


def outcome(record: RunRecord, now: float, *, late: bool) -> Outcome | None:
    """Return how a run ended of which nothing goes on any more; None if it is only interrupted.

    `late`: it was stopped because its time was over. `now` is Unix time in seconds.
    """
    states = [index.state for index in record.indexes]
    if all(state is IndexState.SUCCEEDED for state in states):
        return Outcome(RunState.SUCCEEDED, message=record.message)
    if record.cancelled:
        return Outcome(RunState.CANCELLED, "Cancelled", f"it was cancelled at {rfc3339(now)}")
    if late:
        text = f"it took longer than job.timeoutSeconds, which is {record.launch.timeout_seconds:g}"
        return Outcome(RunState.FAILED, "DeadlineExceeded", text)
    if IndexState.FAILED in states:
        return _failed(record)
    return None


def _failed(record: RunRecord) -> Outcome:
    failed = [
        (number, index)
        for number, index in enumerate(record.indexes)
        if index.state is IndexState.FAILED
    ]
    texts = [
        index.message if len(record.indexes) == 1 else f"index {number}: {index.message}"
        for number, index in failed[:_NAMED_FAILURES]
    ]
    more = len(failed) - len(texts)
    reason = "BadInput" if failed[0][1].exit_code == EXIT_BAD_INPUT else "Failed"
    message = "; ".join([*texts, *([f"and {more} more"] if more else [])])
    return Outcome(RunState.FAILED, reason, message)
