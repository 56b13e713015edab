"""What the leader remembers of a run while it goes on; all of it can be learned again."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import orjson

from torpor.functions.runs.progress import Progress, understood
from torpor.functions.runs.seen import RunJob, RunPod
from torpor.functions.runs.state import Counted
from torpor.resources.conditions import moment
from torpor.resources.run import Indexes, Run


@dataclass(slots=True)
class Memory:
    """Every pod that was seen, by uid; what they told; what was last written of the run.

    `earlier` is what former leaders counted, None before it is looked up; `has_code` is whether the
    copy of the run's code is known to be there.
    """

    pods: dict[str, RunPod] = field(default_factory=dict)
    progress: dict[int, Progress] = field(default_factory=dict)
    blocked: str = ""
    asked_at: float = -math.inf
    told: Run | None = None
    earlier: Counted | None = None
    has_code: bool = False

    def is_due(self, now: float, every_seconds: float) -> bool:
        """Return whether the pods may be asked again."""
        return now - self.asked_at >= every_seconds

    def latest(self, job: RunJob) -> Run | None:
        """Return what was told last: by this leader, else what the Job says; None for nothing."""
        if self.told is None:
            self.told = written(job)
        return self.told

    def counted_earlier(self, job: RunJob) -> Counted:
        """Return what was counted before this leader looked at the run."""
        if self.earlier is None:
            before = written(job) if job.counted else None
            self.earlier = Counted(before.pod_seconds, job.counted) if before else Counted()
        return self.earlier


def written(job: RunJob) -> Run | None:
    """Return what the Job's annotation says; None for nothing, or what nobody here wrote.

    Whoever may write Jobs writes annotations too: names and the beginning are the Job's own, and
    what is no progress, time or amount is none.
    """
    try:
        run = Run.from_json(orjson.loads(job.told)) if job.told else None
        return run and replace(
            run,
            id=job.id,
            key=job.key,
            created=job.created,
            started=_time(run.started),
            finished=_time(run.finished),
            progress=understood(run.progress),
            pod_seconds=run.pod_seconds if math.isfinite(run.pod_seconds) else 0.0,
        )
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None


def told_of(job: RunJob) -> Run:
    """Return what the Job's annotation says of the run; one that was just made is pending."""
    return written(job) or Run(
        job.id,
        job.key,
        reason="Created",
        created=job.created,
        indexes=Indexes(total=job.completions),
    )


def _time(text: str) -> str:
    """Return an RFC 3339 time as it is, and nothing in the place of any other text."""
    try:
        return text if text and moment(text).tzinfo else ""
    except ValueError:
        return ""
