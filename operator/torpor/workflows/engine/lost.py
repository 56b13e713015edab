"""Ends an execution whose definition is gone: it would be RUNNING for ever.

No call brings one about. What others do to the tables of a ledger can.
"""

from __future__ import annotations

from torpor.workflows.asl.advance import advance
from torpor.workflows.asl.compile import compile_program
from torpor.workflows.asl.events import Start
from torpor.workflows.asl.resume import abandon
from torpor.workflows.asl.run import Outside
from torpor.workflows.engine.programs import Revision
from torpor.workflows.engine.resident import fresh_frontier
from torpor.workflows.ledger.base import Commit, Owned, Stored
from torpor.workflows.records import Machine, MachineType

_NOTHING = compile_program({"StartAt": "Fail", "States": {"Fail": {"Type": "Fail"}}})


def last_commit(stored: Stored, owned: Owned, outside: Outside) -> Commit:
    """The commit that ends the execution as FAILED."""
    execution = stored.execution
    arn = execution.machine_arn
    machine = Machine(
        arn,
        arn.rpartition(":")[2],
        MachineType.STANDARD,
        "",
        "",
        execution.started_at,
        execution.started_at,
        execution.revision_id,
    )
    frontier = stored.frontier or fresh_frontier(execution, Revision(machine, _NOTHING))
    history = []
    if not frontier.frames:
        history += advance(_NOTHING, frontier, Start(), outside, budget=0).history
    cause = f"The definition of {arn} that it runs, revision {execution.revision_id}, is gone."
    history += abandon(_NOTHING, frontier, outside, cause).history
    return Commit(owned, execution.arn, frontier, history)
