"""Definitions that several requests change at once: none is lost, and none comes back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.support.ledger_rig import (
    ARN,
    CHAIN,
    MACHINE_ARN,
    a_machine,
    an_execution,
    begin,
    claim_all,
    fresh_ledger,
)
from tests.support.postgres import needs_postgres
from torpor.workflows.asl.events import Stop, TaskFailed, TaskSucceeded
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.base import AlreadyExists, NotFound
from torpor.workflows.ledger.postgres import PostgresLedger
from torpor.workflows.records import Activity, Alias, Machine, MachineStatus

pytestmark = needs_postgres


async def _kept(ledger: PostgresLedger, machine: Machine) -> bool:
    try:
        await ledger.put_machine(machine)
    except AlreadyExists:
        return False
    return True


async def test_of_machines_created_at_once_under_one_name_one_is_kept() -> None:
    async with fresh_ledger() as ledger:
        made = [a_machine("race", f"r{n}") for n in range(8)]
        kept = await asyncio.gather(*(_kept(ledger, machine) for machine in made))
        assert kept.count(True) == 1
        assert await ledger.machine(made[0].arn) == made[kept.index(True)]


async def test_a_revision_only_follows_the_one_that_was_looked_at() -> None:
    async with fresh_ledger() as ledger:
        first = await ledger.machine(MACHINE_ARN)
        await ledger.put_machine(replace(first, revision_id="r2"), "r1")
        with pytest.raises(AlreadyExists):
            await ledger.put_machine(replace(first, revision_id="r3"), "r1")
        with pytest.raises(AlreadyExists):
            await ledger.delete_machine(MACHINE_ARN, "r1")
        assert (await ledger.machine(MACHINE_ARN)).revision_id == "r2"


async def test_a_change_does_not_revive_a_machine_that_is_being_deleted() -> None:
    async with fresh_ledger() as ledger:
        running, _ = await begin(ledger, await claim_all(ledger), CHAIN)
        seen = await ledger.machine(MACHINE_ARN)
        await ledger.delete_machine(MACHINE_ARN)
        with pytest.raises(NotFound):
            await ledger.put_machine(replace(seen, revision_id="r2"), "r1")
        with pytest.raises(AlreadyExists):
            await ledger.put_machine(seen)
        assert (await ledger.machine(MACHINE_ARN)).status is MachineStatus.DELETING
        await running.send(Stop())
        assert await ledger.put_machine(seen) == seen


async def test_nothing_starts_on_a_machine_that_is_being_deleted_or_gone() -> None:
    async with fresh_ledger() as ledger:
        running, _ = await begin(ledger, await claim_all(ledger), CHAIN)
        known = running.execution
        await ledger.delete_machine(MACHINE_ARN)
        with pytest.raises(NotFound):
            await ledger.insert(an_execution("late"))
        assert await ledger.insert(known) == known  # it runs: asking again is harmless
        await running.send(Stop())
        with pytest.raises(NotFound):
            await ledger.insert(an_execution("later"))
        assert (await ledger.counts(MACHINE_ARN)) == {Status.ABORTED: 1}


@pytest.mark.parametrize("turn", range(10))
async def test_what_starts_while_its_machine_is_deleted_keeps_its_revision(turn: int) -> None:
    async with fresh_ledger() as ledger:
        starts = [ledger.insert(an_execution(f"e{n}")) for n in range(20)]
        tasks = [asyncio.create_task(start) for start in starts]
        await asyncio.sleep(0.001 * turn)
        await ledger.delete_machine(MACHINE_ARN)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        started = [one for one in outcomes if not isinstance(one, BaseException)]
        assert all(isinstance(one, NotFound) for one in outcomes if one not in started)
        for execution in started:
            assert (await ledger.execution(execution.arn)).status is Status.RUNNING
            assert (await ledger.revision(MACHINE_ARN, "r1")).name == "shop"


async def test_the_executions_of_several_machines_are_counted_at_once() -> None:
    async with fresh_ledger() as ledger:
        other = await ledger.put_machine(a_machine("other"))
        running, _ = await begin(ledger, await claim_all(ledger), CHAIN)
        await ledger.insert(an_execution("second"))
        await running.send(Stop())
        counts = await ledger.counts_of([MACHINE_ARN, other.arn])
        assert counts == {
            MACHINE_ARN: {Status.RUNNING: 1, Status.ABORTED: 1},
            other.arn: {},
        }


async def test_of_several_answers_to_a_task_one_is_posted() -> None:
    arn = an_execution().arn
    async with fresh_ledger() as ledger:
        posts = [ledger.post(arn, TaskSucceeded(1, 2, Payload(n))) for n in range(5)]
        outcomes = await asyncio.gather(*posts, return_exceptions=True)
        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 4
        with pytest.raises(AlreadyExists):
            await ledger.post(arn, TaskFailed(1, 2, "Bad", None))
        await ledger.post(arn, TaskFailed(1, 3, "Bad", None))
        await ledger.post(arn, Stop())
        await ledger.post(arn, Stop())
        assert len(await ledger.posted(range(16))) == 4


async def test_an_alias_needs_its_machine() -> None:
    alias = Alias(f"{MACHINE_ARN}:live", "live", MACHINE_ARN, None, (("a", 100),), 1.0, 1.0)
    async with fresh_ledger() as ledger:
        await ledger.delete_machine(MACHINE_ARN)
        with pytest.raises(NotFound):
            await ledger.create_alias(alias)


async def test_tags_come_with_what_is_created_and_not_with_what_is_there() -> None:
    first, second = {"owner": "first"}, {"owner": "second"}
    async with fresh_ledger() as ledger:
        machine = await ledger.put_machine(a_machine("tagged"), tags=first)
        with pytest.raises(AlreadyExists):
            await ledger.put_machine(machine, tags=second)
        activity = Activity(f"{ARN}:activity:a", "a", 1.0)
        await ledger.put_activity(activity, first)
        await ledger.put_activity(activity, second)
        assert await ledger.tags(machine.arn) == first
        assert await ledger.tags(activity.arn) == first
