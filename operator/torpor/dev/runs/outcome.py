"""How a local run ends, in the words in which the cluster's runs do. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from torpor.dev.runs.record import IndexState, RunRecord, rfc3339
from torpor.functions.runs import words
from torpor.resources.run import BAD_INPUT, RunState


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
        if any(index.cut for index in record.indexes):
            return Outcome(RunState.SUCCEEDED, words.RESULT_TOO_LARGE, words.CUT_RESULT)
        return Outcome(RunState.SUCCEEDED, message=record.message)
    if record.cancelled:
        return Outcome(RunState.CANCELLED, *words.cancelled(rfc3339(now)))
    if late:
        return Outcome(RunState.FAILED, *words.too_late(record.launch.timeout_seconds))
    if IndexState.FAILED in states:
        return _failed(record)
    return None


def _failed(record: RunRecord) -> Outcome:
    failed = [
        (number, index)
        for number, index in enumerate(record.indexes)
        if index.state is IndexState.FAILED
    ]
    reason = BAD_INPUT if failed[0][1].exit_code == words.EXIT_BAD_INPUT else "Failed"
    texts = [(number, index.message) for number, index in failed]
    return Outcome(RunState.FAILED, reason, words.failures(texts, len(record.indexes)))
