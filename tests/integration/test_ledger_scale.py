"""What grows with an execution's past or width costs nothing at its next commit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.ledger_rig import (
    CHAIN,
    ONE_TASK,
    Running,
    an_execution,
    begin,
    claim_all,
    comparable,
    dispatches,
    fresh_ledger,
    map_over,
)
from tests.support.postgres import needs_postgres
from torpor.workflows.asl.advance import advance
from torpor.workflows.asl.events import Continue, Start, Step, TaskSucceeded
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.base import Commit, LedgerError
from torpor.workflows.ledger.codec import Memory
from torpor.workflows.ledger.encoding import encode_commit
from torpor.workflows.ledger.keys import key_of
from torpor.workflows.ledger.postgres import PostgresLedger

pytestmark = needs_postgres
LOOP: dict[str, Any] = {
    "StartAt": "Count",
    "States": {
        "Count": {
            "Type": "Pass",
            "Parameters": {"n.$": "States.MathAdd($.n, 1)"},
            "Next": "Enough",
        },
        "Enough": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.n", "NumericLessThan": 50_000, "Next": "Count"}],
            "Default": "Done",
        },
        "Done": {"Type": "Succeed"},
    },
}


async def test_a_map_of_10_000_items_costs_the_same_for_its_last_item_as_for_its_first() -> None:
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        items = [{"n": n} for n in range(10_000)]
        definition = map_over(ONE_TASK, MaxConcurrency=40)
        running, step = await begin(ledger, owned, definition, input={"items": items})
        open_tasks = dispatches(step)
        sizes: list[int] = []
        while running.frontier.status is Status.RUNNING:
            task = open_tasks.pop(0)
            step = await _measured(running, task, ledger, sizes)
            open_tasks += dispatches(step)
            if len(sizes) == 5_000:
                stored = await ledger.load_one(running.execution.arn)
                assert stored.frontier is not None
                assert comparable(stored.frontier) == comparable(running.frontier)
        assert len(sizes) == 10_000
        # But for the end itself, whose result is the list of all.
        assert max(sizes[1:-1]) < 3_000
        ended = await ledger.execution(running.execution.arn)
        assert ended.output is not None
        assert len(ended.output.value) == 10_000


async def _measured(running: Running, task: Any, ledger: PostgresLedger, sizes: list[int]) -> Step:
    memory = ledger._memories.get(key_of(running.execution.arn), Memory())

    event = TaskSucceeded(task.frame, task.ticket, Payload({"ok": True}))
    step = advance(running.program, running.frontier, event, running.world)
    commit = Commit(running.owned, running.execution.arn, running.frontier, step.history)
    sizes.append(encode_commit(commit, memory).size_bytes(ledger._blobs))
    await running.commit(step)
    return step


async def test_a_history_of_100_000_states_is_written_and_the_frontier_stays_one_row() -> None:
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        running, step = await begin(ledger, owned, LOOP, input={"n": 0})
        entered = step.transitions
        while step.more:
            assert await ledger._database.value("SELECT count(*) FROM frame") == 1
            step = await running.send(Continue())
            entered += step.transitions
        assert entered == 100_001
        assert (await ledger.execution(running.execution.arn)).status is Status.SUCCEEDED
        page = await ledger.history(running.execution.arn, 1, None, newest_first=True)
        assert page.items[0].id == 200_004
        assert page.items[0].details["output"] == '{"n":50000}'


async def test_what_postgresql_refuses_of_one_write_is_not_the_fault_of_its_group() -> None:
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        starts = [an_execution(f"ok-{n}") for n in range(20)]
        poison = an_execution("poison", machine_version_arn="nul \x00")
        outcomes = await asyncio.gather(
            *(ledger.insert(start) for start in (*starts, poison)), return_exceptions=True
        )
        assert outcomes[:20] == [await ledger.execution(start.arn) for start in starts]
        assert isinstance(outcomes[20], LedgerError)

        several = [
            Running(ledger, owned[ledger.shard_of(start.arn)], start, CHAIN) for start in starts
        ]
        several[3].frontier.next_frame = 2**40
        several[3].frontier.touched.add(0)
        commits = await asyncio.gather(
            *(running.send(Start()) for running in several), return_exceptions=True
        )
        assert [n for n, one in enumerate(commits) if isinstance(one, Exception)] == [3]
        with pytest.raises(LedgerError):
            raise commits[3]  # type: ignore[misc]
