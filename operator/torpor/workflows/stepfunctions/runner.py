"""Really does the task of a state that TestState tests, through the engine's integrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torpor.expressions.values import Entropy
from torpor.workflows.asl.events import Dispatch, TaskFailed, TaskSucceeded
from torpor.workflows.asl.fault import RUNTIME
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import EMPTY
from torpor.workflows.engine.base import Integration, Job, Observer
from torpor.workflows.records import Execution, Machine, MachineType, Options
from torpor.workflows.stepfunctions.arns import Place, express_arn

NAME = "test-state"


@dataclass(frozen=True, slots=True)
class IntegrationRunner:
    """Runs a task for an execution that nobody stores. `namespace` is where Functions are."""

    integrations: Mapping[str, Integration]
    outside: Entropy
    place: Place
    namespace: str = "default"

    async def run_once(self, dispatch: Dispatch, observer: Observer) -> TaskSucceeded | TaskFailed:
        """The task's end; one that only starts a job, or that waits for a token, fails."""
        integration = self.integrations.get(dispatch.resource.service)
        if integration is None:
            cause = f"The resource '{dispatch.resource.text}' is not supported"
            return TaskFailed(dispatch.frame, dispatch.ticket, RUNTIME, cause)
        end = await integration.run(replace(self._job(dispatch), observer=observer))
        if isinstance(end, TaskSucceeded | TaskFailed):
            return end
        cause = "A task that ends later can only be tested with a mock"
        return TaskFailed(dispatch.frame, dispatch.ticket, RUNTIME, cause)

    def _job(self, dispatch: Dispatch) -> Job:
        now, id = self.outside.now(), self.outside.uuid()
        arn = self.place.machine(NAME)
        options = Options(namespace=self.namespace)
        machine = Machine(arn, NAME, MachineType.EXPRESS, "{}", "", now, now, id, options=options)
        execution = Execution(express_arn(arn, id, id), id, arn, id, 0, Status.RUNNING, EMPTY, now)
        return Job(execution, machine, NAME, dispatch, id, id)
