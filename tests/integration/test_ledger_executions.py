"""Executions on a real PostgreSQL: what is committed is loaded, and nothing more is kept."""

from __future__ import annotations

import asyncio

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
    distributed,
    fresh_ledger,
    load_all,
    map_over,
    started_in,
)
from tests.support.postgres import needs_postgres
from torpor.workflows.asl.events import Redrive, Start, Stop, TaskFailed, TaskSucceeded
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger import loading
from torpor.workflows.ledger.base import AlreadyExists, NotFound
from torpor.workflows.ledger.postgres import PostgresLedger

pytestmark = needs_postgres

PASS = {"Type": "Pass", "End": True}


def done(dispatch: object, output: object) -> TaskSucceeded:
    return TaskSucceeded(dispatch.frame, dispatch.ticket, Payload(output))  # type: ignore[attr-defined]


async def count(ledger: PostgresLedger, table: str) -> int:
    return int(await ledger._database.value(f"SELECT count(*) FROM {table}"))


async def test_a_chain_of_tasks_is_loaded_where_it_stands_and_leaves_its_history() -> None:
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        running, step = await begin(ledger, owned, CHAIN, input={"order": 1})
        (task,) = dispatches(step)
        step = await running.send(done(task, {"a": 1}))

        (stored,) = await load_all(ledger, list(owned.values()))
        assert stored.execution == running.execution
        assert stored.frontier is not None
        assert comparable(stored.frontier) == comparable(running.frontier)

        again = Running(ledger, running.owned, stored.execution, CHAIN, stored.frontier)
        for _ in range(2):
            (task,) = dispatches(step)
            step = await again.send(done(task, {"a": 2}))
        ended = await ledger.execution(running.execution.arn)
        assert (ended.status, ended.output) == (Status.SUCCEEDED, Payload({"a": 2}))
        assert ended.stopped_at is not None
        page = await ledger.history(ended.arn, 1_000, None, newest_first=False)
        assert [row.id for row in page.items] == list(range(1, len(page.items) + 1))
        assert page.items[0].details["input"] == '{"order":1}'
        assert page.items[-1].type == "ExecutionSucceeded"
        for table in ("frame", "frontier", "fresh", "join_result", "inbox"):
            assert await count(ledger, table) == 0, table


async def test_starting_twice_is_one_execution_with_the_same_input_while_it_runs() -> None:
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        first = await ledger.insert(an_execution("same", {"a": 1}))
        assert await ledger.insert(an_execution("same", {"a": 1}, 1_763_700_005.0)) == first
        with pytest.raises(AlreadyExists):
            await ledger.insert(an_execution("same", {"a": 2}))
        running = Running(ledger, owned[first.shard], first, CHAIN)
        await running.send(Start())
        await running.send(Stop("E", "because"))
        with pytest.raises(AlreadyExists):
            await ledger.insert(an_execution("same", {"a": 1}))
        assert (await ledger.execution(first.arn)).error == "E"


async def test_a_burst_of_starts_with_duplicates_starts_each_once() -> None:
    async with fresh_ledger() as ledger:
        starts = [an_execution(f"n{n % 500}", {"n": n % 500}) for n in range(1_000)]
        found = await asyncio.gather(*(ledger.insert(start) for start in starts))
        assert found[:500] == found[500:]
        assert await count(ledger, "execution") == 500
        fresh = await started_in(ledger, range(ledger.shards))
        assert len(fresh) == 500
        assert all(one.frontier is None for one in fresh)


async def test_the_results_of_a_map_are_written_one_by_one_and_cleared_at_its_end() -> None:
    definition = map_over(ONE_TASK, MaxConcurrency=3)
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        items = [{"n": n, "text": "x" * 200} for n in range(30)]
        running, step = await begin(ledger, owned, definition, input={"items": items})
        open_tasks = dispatches(step)
        for finished in range(1, 31):
            task = open_tasks.pop(finished % len(open_tasks))
            step = await running.send(done(task, {"ok": "y" * 300}))
            open_tasks += dispatches(step)
            if finished < 30:
                assert await count(ledger, "join_result") == finished
                stored = await ledger.load_one(running.execution.arn)
                assert stored.frontier is not None
                assert comparable(stored.frontier) == comparable(running.frontier)
        assert await count(ledger, "join_result") == 0
        ended = await ledger.execution(running.execution.arn)
        assert ended.output is not None
        assert len(ended.output.value) == 30


async def test_what_succeeded_never_changes_and_only_what_a_late_commit_consumed_goes() -> None:
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        running, _ = await begin(ledger, owned, {"StartAt": "p", "States": {"p": PASS}})
        end = await ledger.execution(running.execution.arn)
        assert end.status is Status.SUCCEEDED
        stored = await ledger.load_one(end.arn)
        assert stored.over
        await ledger.post(end.arn, Stop())
        await ledger.post(end.arn, Redrive())
        first, second = await ledger.posted(list(owned))
        zombie = Running(ledger, running.owned, running.execution, CHAIN)
        await zombie.send(Start())
        await zombie.send(Stop("E", "late"), (first.id,))
        assert await ledger.execution(end.arn) == end
        assert (await ledger.load_one(end.arn)).over
        page = await ledger.history(end.arn, 100, None, newest_first=False)
        assert page.items[-1].type == "ExecutionSucceeded"
        assert await ledger.posted(list(owned)) == [second]
        await ledger.discard([second.id])
        assert await ledger.posted(list(owned)) == []


async def test_what_failed_changes_only_by_a_redrive() -> None:
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        running, _ = await begin(ledger, owned, CHAIN)
        await running.send(Stop("E", "C"))
        end = await ledger.execution(running.execution.arn)
        zombie = Running(ledger, running.owned, running.execution, CHAIN)
        await zombie.send(Stop("other", None))
        assert await ledger.execution(end.arn) == end


async def test_many_executions_are_loaded_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_AT_ONCE", 7)
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        for n in range(20):
            await begin(ledger, owned, CHAIN, name=f"n{n}")
        parts = [part async for part in ledger.load(list(owned.values()))]
        assert [len(part) for part in parts] == [7, 7, 6]
        assert len({stored.execution.arn for part in parts for stored in part}) == 20


async def test_a_failed_execution_keeps_its_frames_and_goes_on_after_a_redrive() -> None:
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        running, step = await begin(ledger, owned, CHAIN)
        (task,) = dispatches(step)
        await running.send(TaskFailed(task.frame, task.ticket, "Boom", "broken \x00 \ud800"))
        failed = await ledger.execution(running.execution.arn)
        assert (failed.status, failed.error) == (Status.FAILED, "Boom")
        assert await load_all(ledger, list(owned.values())) == []

        stored = await ledger.load_one(failed.arn)
        assert stored.frontier is not None
        again = Running(ledger, running.owned, stored.execution, CHAIN, stored.frontier)
        step = await again.send(Redrive())
        assert len(dispatches(step)) == 1
        redriven = await ledger.execution(failed.arn)
        assert (redriven.status, redriven.redrive_count) == (Status.RUNNING, 1)
        assert redriven.redriven_at is not None
        assert redriven.error is None
        assert len(await load_all(ledger, list(owned.values()))) == 1


async def test_a_payload_of_5_mib_is_stored_once_however_often_it_is_passed_on() -> None:
    large = {"blob": "é" * (5 << 19)}
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        running, step = await begin(ledger, owned, CHAIN, input=large)
        for _ in range(3):
            (task,) = dispatches(step)
            step = await running.send(done(task, large))
        ended = await ledger.execution(running.execution.arn)
        assert ended.output == Payload(large)
        assert await count(ledger, "blob") == 1
        page = await ledger.history(ended.arn, 3, None, newest_first=True)
        assert page.items[0].details["output"] == Payload(large).text


async def test_a_map_run_counts_its_children_and_shows_them_as_executions() -> None:
    definition = distributed(ONE_TASK, MaxConcurrency=2, ToleratedFailureCount=1, Label="L")
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        running, step = await begin(ledger, owned, definition, input={"items": [1, 2, 3]})
        (run,) = await ledger.map_runs(running.execution.arn)
        assert (run.total, run.running, run.succeeded, run.status) == (3, 2, 0, Status.RUNNING)
        assert (run.max_concurrency, run.tolerated_count) == (2, 1.0)
        first, second = dispatches(step)
        step = await running.send(done(first, "one"))
        await running.send(TaskFailed(second.frame, second.ticket, "Bad", "luck"))
        run = await ledger.map_run(run.arn)
        assert (run.running, run.succeeded, run.failed) == (1, 1, 1)
        (third,) = dispatches(step)
        await running.send(done(third, "three"))
        run = await ledger.map_run(run.arn)
        assert (run.running, run.succeeded, run.failed) == (0, 2, 1)
        assert run.status is Status.SUCCEEDED
        assert run.stopped_at is not None

        page = await ledger.executions(None, None, 2, None, map_run_arn=run.arn)
        rest = await ledger.executions(None, None, 2, page.next_token, map_run_arn=run.arn)
        names = [child.name for child in (*page.items, *rest.items)]
        assert names == ["2", "1", "0"]
        child = await ledger.execution(page.items[0].arn)
        assert (child.input, child.output) == (Payload(3), Payload("three"))
        assert child.machine_arn.endswith("shop/L")
        events = await ledger.history(child.arn, 100, None, newest_first=False)
        assert events.items[0].type == "ExecutionStarted"
        assert events.items[-1].type == "ExecutionSucceeded"


async def test_a_stopped_map_run_and_its_children_are_aborted() -> None:
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        running, _ = await begin(ledger, owned, distributed(ONE_TASK), input={"items": [1, 2]})
        await running.send(Stop())
        (run,) = await ledger.map_runs(running.execution.arn)
        assert (run.status, run.running, run.failed) == (Status.ABORTED, 0, 2)


async def test_unknown_arns_are_not_found() -> None:
    async with fresh_ledger() as ledger:
        for call in (
            ledger.execution("arn:x"),
            ledger.load_one("arn:x"),
            ledger.map_run("arn:x"),
            ledger.machine("arn:x"),
            ledger.history("arn:x", 10, None, newest_first=False),
            ledger.tags("arn:x"),
        ):
            with pytest.raises(NotFound):
                await call
