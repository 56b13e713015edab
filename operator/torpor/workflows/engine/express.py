"""Express executions: in memory only, at most five minutes, no history, lost with the process."""

from __future__ import annotations

import asyncio
import logging

from torpor.workflows.engine.keeping import Keeper
from torpor.workflows.engine.programs import Programs
from torpor.workflows.ledger.base import Stored
from torpor.workflows.records import Execution, Machine

log = logging.getLogger(__name__)


class Express:
    """Runs express executions on the same machine as all others, without a ledger."""

    def __init__(self, programs: Programs, keeper: Keeper) -> None:
        self._programs = programs
        self._keeper = keeper

    async def run(self, execution: Execution, *, wait: bool) -> Execution:
        """Begin the execution; with `wait` return it as it ended, else as it began.

        Cancelling the wait does not stop the execution.
        """
        revision = await self._programs.of(execution.machine_arn, execution.revision_id)
        ended: asyncio.Future[Execution] = asyncio.get_running_loop().create_future()
        resident = self._keeper.adopt(Stored(execution, None), revision, None)
        resident.ended = ended
        ended.add_done_callback(lambda done: _log(revision.machine, done))
        return await asyncio.shield(ended) if wait else execution


def _log(machine: Machine, done: asyncio.Future[Execution]) -> None:
    """Write the end to the log, as the machine's logging level asks."""
    level = machine.options.logging.get("level", "OFF")
    if done.cancelled() or level == "OFF":
        return
    execution = done.result()
    failed = execution.status.value != "SUCCEEDED"
    if level != "ALL" and not failed:
        return
    fields = {
        "execution": execution.arn,
        "status": execution.status.value,
        "error": execution.error,
        "cause": execution.cause,
    }
    if machine.options.logging.get("includeExecutionData"):
        fields["input"] = execution.input.text
        fields["output"] = execution.output.text if execution.output else None
    log.info("an express execution ended", extra={"fields": fields})
