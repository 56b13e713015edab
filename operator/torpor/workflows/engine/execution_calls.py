"""What clients ask of executions: start one, run one, stop one, redrive one.

Any engine takes any of these calls: what concerns an execution of another engine goes through the
ledger, and the call waits until that engine did it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from torpor.workflows.asl.events import Redrive, Stop
from torpor.workflows.asl.frontier import Status
from torpor.workflows.engine.base import NotRedrivable, Unanswered
from torpor.workflows.engine.express import Express
from torpor.workflows.engine.inbox import Inbox
from torpor.workflows.engine.world import Clock
from torpor.workflows.ledger.base import Ledger
from torpor.workflows.records import Execution

_ANSWER_SECONDS = 10.0
"""How long a call waits for another engine to do what was posted."""
_FIRST_LOOK_SECONDS = 0.02
_LONGEST_LOOK_SECONDS = 0.5


class ExecutionCalls:
    """The calls about executions; `engine.base.Api` tells what each does."""

    def __init__(self, ledger: Ledger, inbox: Inbox, express: Express, clock: Clock) -> None:
        self._ledger = ledger
        self._inbox = inbox
        self._express = express
        self._clock = clock

    async def start(self, execution: Execution) -> Execution:
        """Start a durable execution; returns when it is durable, not when it is over."""
        return await self._ledger.insert(execution)

    async def run_express(self, execution: Execution, *, wait: bool) -> Execution:
        """Run an express execution in memory; with `wait` returns its end, else at once."""
        return await self._express.run(execution, wait=wait)

    async def stop(self, arn: str, error: str | None, cause: str | None) -> float:
        """Stop an execution; returns the time of its end."""
        execution = await self._ledger.execution(arn)
        if execution.status is not Status.RUNNING:
            return execution.stopped_at or self._clock.now()
        await self._inbox.tell(arn, Stop(error, cause))
        ended = await self._until(arn, lambda now: now.status is not Status.RUNNING)
        return ended.stopped_at or self._clock.now()

    async def redrive(self, arn: str) -> float:
        """Run the failed states of an ended execution again; raises NotRedrivable."""
        execution = await self._ledger.execution(arn)
        if execution.status in (Status.RUNNING, Status.SUCCEEDED):
            raise NotRedrivable(f"{arn} is {execution.status.value}")
        count = execution.redrive_count
        await self._ledger.post(arn, Redrive())
        redriven = await self._until(arn, lambda now: now.redrive_count > count)
        return redriven.redriven_at or self._clock.now()

    async def _until(self, arn: str, over: Callable[[Execution], bool]) -> Execution:
        """The execution once it is as expected; Unanswered when that takes too long."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + _ANSWER_SECONDS, _FIRST_LOOK_SECONDS
        while True:
            execution = await self._ledger.execution(arn)
            if over(execution):
                return execution
            if loop.time() >= deadline:
                raise Unanswered(
                    f"the engine that runs {arn} did not answer in {_ANSWER_SECONDS:.0f} s"
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK_SECONDS)
