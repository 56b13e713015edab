"""What a Function's status tells of its runs. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from torpor.functions.runs.seen import RunJob
from torpor.functions.status import RunCounts


def counts_of(jobs: Sequence[RunJob]) -> RunCounts:
    """Return how many of these Jobs of runs are where, and which is the newest."""
    if not jobs:
        return RunCounts()
    succeeded = sum(bool(job.ending and job.ending.succeeded) for job in jobs)
    over = sum(job.is_over for job in jobs)
    newest = max(jobs, key=lambda job: (job.created, job.id))
    return RunCounts(len(jobs) - over, succeeded, over - succeeded, newest.id)


def differs(old: RunJob | None, new: RunJob | None) -> bool:
    """Return whether a change of a Job can change the counts."""
    return old is None or new is None or old.is_over != new.is_over
