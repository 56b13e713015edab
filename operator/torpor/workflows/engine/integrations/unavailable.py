"""Services that need a part which this installation does not have.

Buses and queues (events, sqs) are those of the events role; topics (sns) there are none. Their
tasks fail at once with States.TaskFailed and a cause that names the part.
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


BUS = Unavailable("an event bus: set TORPOR_EVENTS_URL")
TOPICS = Unavailable("SNS topics: publish to an event bus by events:putEvents instead")
BUS_SERVICES = ("sqs", "events")
