"""Two processes and one shard: who owns it, who may write, and who is woken."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.support.ledger_rig import (
    CHAIN,
    Running,
    a_machine,
    an_execution,
    begin,
    claim_all,
    comparable,
    dispatches,
    fresh_ledger,
    load_all,
    started_in,
)
from tests.support.postgres import fresh_database, needs_postgres
from torpor.workflows.asl.events import Start, Stop, TaskSubmitted, TaskSucceeded
from torpor.workflows.asl.frontier import Frontier
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.base import Fenced, LedgerError, Owned
from torpor.workflows.ledger.migrations import migrate, scripts
from torpor.workflows.ledger.postgres import open_ledger

pytestmark = needs_postgres


async def test_a_shard_has_one_owner_until_its_lease_runs_out() -> None:
    async with fresh_ledger(shards=8) as ledger:
        first = await ledger.claim("one", 5, 30)
        second = await ledger.claim("two", 5, 30)
        assert len(first) == 5
        assert len(second) == 3
        assert not {one.shard for one in first} & {one.shard for one in second}
        assert await ledger.owners() == {"one": 5, "two": 3}
        assert await ledger.claim("three", 5, 30) == []
        assert await ledger.owners() == {"one": 5, "two": 3, "three": 0}
        assert await ledger.renew("one", first, 0.0) == first
        taken = await ledger.claim("three", 8, 30)
        assert {one.shard for one in taken} == {one.shard for one in first}
        assert all(one.epoch == 2 for one in taken)
        assert await ledger.renew("one", first, 30) == []
        await ledger.release("one", first)
        assert (await ledger.owners())["three"] == 5
        await ledger.release("three", taken)
        assert len(await ledger.claim("four", 8, 30)) == 5


async def test_many_claimers_at_once_share_all_shards_without_overlap() -> None:
    async with fresh_ledger(shards=64) as ledger:
        claims = await asyncio.gather(*(ledger.claim(f"o{n}", 8, 30) for n in range(8)))
        shards = [one.shard for claim in claims for one in claim]
        assert len(shards) == len(set(shards))


async def test_a_zombie_writes_nothing_and_the_others_of_its_group_are_written() -> None:
    async with fresh_ledger(shards=4) as ledger:
        owned = await claim_all(ledger)
        several = [await begin(ledger, owned, CHAIN, input={"n": n}) for n in range(40)]
        lost = several[0][0].owned.shard
        await ledger.release("one", [owned[lost]])
        (taken,) = await ledger.claim("two", 1, 30)
        assert taken == Owned(lost, 2)
        before = {
            stored.execution.arn: comparable(stored.frontier)
            for stored in await load_all(ledger, list(owned.values()))
            if stored.frontier is not None
        }
        large = Payload("x" * 10_000)
        outcomes = await asyncio.gather(
            *(
                running.send(TaskSucceeded(task.frame, task.ticket, large))
                for running, step in several
                for task in dispatches(step)
            ),
            return_exceptions=True,
        )
        for (running, _), outcome in zip(several, outcomes, strict=True):
            stored = await ledger.load_one(running.execution.arn)
            assert stored.frontier is not None
            page = await ledger.history(running.execution.arn, 100, None, newest_first=False)
            if running.owned.shard == lost:
                assert isinstance(outcome, Fenced)
                assert comparable(stored.frontier) == before[running.execution.arn]
                assert len(page.items) == 4
            else:
                assert not isinstance(outcome, BaseException)
                assert comparable(stored.frontier) == comparable(running.frontier)
                assert len(page.items) > 4


async def test_a_zombie_loses_everything_that_it_writes_after_the_claim() -> None:
    """Two ledgers, one shard: commits of the old owner before the claim count, none after it."""
    async with (
        fresh_database() as dsn,
        open_ledger(dsn, 1) as old,
        open_ledger(dsn, 1) as new,
    ):
        await old.put_machine(a_machine())
        owned = await claim_all(old)
        runs = [(await begin(old, owned, CHAIN))[0] for _ in range(20)]
        written: list[int] = []

        async def haunt(running: Running) -> None:
            for ticket in range(1_000):
                (frame,) = running.frontier.frames.values()
                answer = Payload(ticket)
                try:
                    await running.send(TaskSubmitted(frame.id, frame.ticket, answer))
                    frame.phase = type(frame.phase).TASK
                    frame.heartbeat = float(ticket)
                    running.frontier.touched.add(frame.id)
                except Fenced:
                    return
                written.append(ticket)

        async with asyncio.TaskGroup() as group:
            for running in runs:
                group.create_task(haunt(running), name=running.execution.name)
            while len(written) < 200:  # noqa: ASYNC110 - polled on purpose
                await asyncio.sleep(0)
            await old.renew("one", list(owned.values()), 0.0)
            (taken,) = await new.claim("two", 1, 30)
            seen = await load_all(new, [taken])
        after = await load_all(new, [taken])
        assert {s.execution.arn: comparable(_there(s.frontier)) for s in seen} == {
            s.execution.arn: comparable(_there(s.frontier)) for s in after
        }
        (running,) = [
            Running(new, taken, stored.execution, CHAIN, stored.frontier)
            for stored in after
            if stored.execution == runs[0].execution
        ]
        await running.send(Stop())
        with pytest.raises(Fenced):
            await runs[0].send(Stop())


def _there(frontier: Frontier | None) -> Frontier:
    assert frontier is not None
    return frontier


async def test_who_waits_for_work_is_woken_by_a_start_and_by_a_posted_event() -> None:
    async with fresh_database() as dsn, open_ledger(dsn, 8) as owner, open_ledger(dsn) as api:
        assert api.shards == 8
        await api.put_machine(a_machine())
        owned = await claim_all(owner)
        shards = list(owned)
        while await owner.wait_for_work(shards, 0.2):
            pass
        waiting = asyncio.create_task(owner.wait_for_work(shards, 20), name="waiting")
        execution = await api.insert(an_execution())
        assert await waiting == {execution.shard}
        (stored,) = await started_in(owner, [execution.shard])
        assert (stored.execution, stored.frontier) == (execution, None)
        running = Running(owner, owned[execution.shard], execution, CHAIN)
        step = await running.send(Start())
        assert await started_in(owner, shards) == []

        (task,) = dispatches(step)
        event = TaskSucceeded(task.frame, task.ticket, Payload({"big": 2**70, "text": "\ud800"}))
        await api.post(execution.arn, event)
        assert await owner.wait_for_work(shards, 20) == {execution.shard}
        (posted,) = await owner.posted(shards)
        assert (posted.execution_arn, posted.event) == (execution.arn, event)
        await running.send(Stop(), consumed=(posted.id,))
        assert await owner.posted(shards) == []


async def test_work_whose_notice_was_lost_is_found_by_looking() -> None:
    async with fresh_database() as dsn, open_ledger(dsn, 2) as ledger:
        await ledger.put_machine(a_machine())
        execution = await ledger.insert(an_execution())
        ledger._notices.take({0, 1})
        assert await ledger.wait_for_work([0, 1], 20) == {execution.shard}


async def test_an_epoch_of_another_shard_does_not_help() -> None:
    async with fresh_ledger(shards=2) as ledger:
        owned = await claim_all(ledger)
        running, _ = await begin(ledger, owned, CHAIN)
        running.owned = replace(running.owned, epoch=7)
        with pytest.raises(Fenced):
            await running.send(Stop())


async def test_opening_twice_applies_each_script_once() -> None:
    async with (
        fresh_database() as dsn,
        open_ledger(dsn, 4) as first,
        open_ledger(dsn, 9) as second,
    ):
        assert (first.shards, second.shards) == (4, 4)
        assert await migrate(first._database, 4) == 4
        applied = await first._database.value("SELECT count(*) FROM schema_version")
        assert applied == len(scripts())


async def test_a_database_that_refuses_a_statement_is_an_error_of_the_ledger() -> None:
    async with fresh_ledger() as ledger:
        with pytest.raises(LedgerError, match="42P01"):
            await ledger._database.rows("SELECT * FROM nothing")
