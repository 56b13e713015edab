"""Services that need a part which this installation does not have.

`jobs` are runs of Job Functions (`torpor:job:NAME`, ecs, batch, eks); `events` go to the event bus
(sqs, sns, events). Their tasks fail at once with States.TaskFailed and a cause that names the part.
"""

from __future__ import annotations

from dataclasses import dataclass

from torpor.workflows.asl.events import Input
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.integrations.outcomes import failed


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Fails every task; `needs` says what is missing."""

    needs: str

    async def run(self, job: Job) -> Input | None:
        """Fail the task."""
        resource = job.dispatch.resource.text
        return failed(job, "States.TaskFailed", f"{resource} needs {self.needs}.")


JOBS = Unavailable("Job Functions, which this installation does not run")
BUS = Unavailable("an event bus, which this installation does not have")
JOB_SERVICES = ("job", "ecs", "batch", "eks")
BUS_SERVICES = ("sqs", "sns", "events")
