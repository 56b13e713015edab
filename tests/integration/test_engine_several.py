"""Several engines on one PostgreSQL: activities, limits, nested executions and shards in common."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.support.engine_rig import (
    KEY,
    PREFIX,
    NoItems,
    Tasks,
    make_execution,
    make_machine,
    running,
)
from tests.support.ledger_rig import begin, claim_all, dispatches, distributed, fresh_ledger
from tests.support.postgres import fresh_database, needs_postgres
from torpor.workflows.asl.events import MapRunChanged
from torpor.workflows.asl.frontier import Status
from torpor.workflows.engine.base import Integration, Job
from torpor.workflows.engine.engine import Engine, EngineOptions
from torpor.workflows.engine.integrations.executions import Executions
from torpor.workflows.engine.ownership import Ownership
from torpor.workflows.engine.world import WallClock
from torpor.workflows.ledger.base import Ledger, Owned
from torpor.workflows.ledger.postgres import open_ledger
from torpor.workflows.records import Alias, Execution, Options

pytestmark = needs_postgres
ACTIVITY = f"{PREFIX}:activity:review"


@dataclass
class Member:
    """One engine with its own connections."""

    ledger: Ledger
    engine: Engine


@asynccontextmanager
async def member(
    dsn: str, tasks: Tasks, owner: str, lease_seconds: float = 2.0
) -> AsyncIterator[Member]:
    async with open_ledger(dsn, 16) as ledger:
        options = EngineOptions(owner, lease_seconds)
        integrations: dict[str, Integration] = {"lambda": tasks}
        engine = Engine(ledger, integrations, NoItems(), KEY, options, WallClock(), Random(1))
        integrations["states"] = Executions(ledger, lambda: engine, WallClock())
        async with running(engine):
            yield Member(ledger, engine)


@asynccontextmanager
async def two(dsn: str, tasks: Tasks) -> AsyncIterator[tuple[Member, Member]]:
    """Two engines, each with half of the shards."""
    async with member(dsn, tasks, "one") as one, member(dsn, tasks, "two") as other:
        async with asyncio.timeout(20):
            while one.engine.shards != 8 or other.engine.shards != 8:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        yield one, other


async def ended(ledger: Ledger, execution: Execution, seconds: float = 30.0) -> Execution:
    async with asyncio.timeout(seconds):
        while (  # noqa: ASYNC110
            found := await ledger.execution(execution.arn)
        ).status is Status.RUNNING:
            await asyncio.sleep(0.01)
    return found


def one_state(state: dict[str, Any]) -> dict[str, Any]:
    return {"StartAt": "s", "States": {"s": {**state, "End": True}}}


async def started(member: Member, machine: Any, count: int, prefix: str = "e") -> list[Execution]:
    executions = [
        make_execution(machine, {"n": n}, f"{prefix}{n}", time.time()) for n in range(count)
    ]
    return list(await asyncio.gather(*(member.engine.start(one) for one in executions)))


async def test_any_engine_gives_out_the_tasks_of_all_and_each_once() -> None:
    given: list[str] = []

    async def work(of: Member) -> None:
        while (found := await of.engine.poll_activity(ACTIVITY, "w", 5.0)) is not None:
            token, input = found
            given.append(token)
            await of.engine.succeed(token, input)
            if len(given) >= 40:
                return

    async with fresh_database() as dsn, two(dsn, Tasks()) as (one, other):
        machine = await one.ledger.put_machine(
            make_machine(one_state({"Type": "Task", "Resource": ACTIVITY}))
        )
        executions = await started(one, machine, 40)
        # All workers at one engine: half of the tasks are the other's.
        async with asyncio.timeout(30):
            await asyncio.gather(*(work(one) for _ in range(5)))
        for execution in executions:
            end = await ended(one.ledger, execution)
            assert (end.status, end.output) == (Status.SUCCEEDED, execution.input)
            page = await one.ledger.history(execution.arn, 100, None, False)
            assert [row.type for row in page.items].count("ActivityStarted") == 1
        assert len(given) == len(set(given)) == 40
        assert await other.engine.poll_activity(ACTIVITY, "w", 0.1) is None


async def test_a_waiting_worker_is_woken_by_the_other_engines_task() -> None:
    async with fresh_database() as dsn, two(dsn, Tasks()) as (one, other):
        machine = await one.ledger.put_machine(
            make_machine(one_state({"Type": "Task", "Resource": ACTIVITY}))
        )
        polls = [
            asyncio.create_task(member.engine.poll_activity(ACTIVITY, None, 10.0))
            for member in (one, other, one, other)
        ]
        await asyncio.sleep(0.2)
        began = time.perf_counter()
        await started(one, machine, 4)
        found = await asyncio.gather(*polls)
        assert time.perf_counter() - began < 5.0
        assert all(found)
        assert len({task[0] for task in found if task}) == 4


async def test_a_task_whose_wait_is_over_is_given_to_nobody() -> None:
    async with fresh_database() as dsn, two(dsn, Tasks()) as (one, _):
        machine = await one.ledger.put_machine(
            make_machine(one_state({"Type": "Task", "Resource": ACTIVITY}))
        )
        [gone, stays] = await started(one, machine, 2)
        await asyncio.sleep(0.3)
        await one.engine.stop(gone.arn, None, None)
        found = await one.engine.poll_activity(ACTIVITY, None, 5.0)
        assert found is not None
        assert found[1] == stays.input
        assert await one.engine.poll_activity(ACTIVITY, None, 0.2) is None


async def test_a_concurrency_limit_is_exact_with_two_engines() -> None:
    now: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def hold(job: Job) -> Any:
        key = job.dispatch.argument.value["key"]
        now[key] += 1
        most[key] = max(most[key], now[key])
        await asyncio.sleep(0.25)
        now[key] -= 1
        return None

    options = Options(concurrency_limit=3, concurrency_key="key")
    task = one_state({"Type": "Task", "Resource": "arn:aws:lambda:hold"})
    async with fresh_database() as dsn, two(dsn, Tasks({"hold": hold})) as (one, _):
        machine = await one.ledger.put_machine(make_machine(task, options=options))
        executions = [
            make_execution(machine, {"key": key}, f"{key}{n}", time.time())
            for n in range(10)
            for key in ("a", "b")
        ]
        await asyncio.gather(*(one.engine.start(execution) for execution in executions))
        for execution in executions:
            assert (await ended(one.ledger, execution)).status is Status.SUCCEEDED
        assert most == {"a": 3, "b": 3}


async def test_places_of_an_engine_that_leaves_are_given_on() -> None:
    running_now: set[str] = set()
    most = 0

    async def hold(job: Job) -> Any:
        nonlocal most
        running_now.add(job.execution.arn)
        most = max(most, len(running_now))
        try:
            await asyncio.sleep(0.3)
        finally:
            running_now.discard(job.execution.arn)
        return None

    tasks = Tasks({"hold": hold})
    task = one_state({"Type": "Task", "Resource": "arn:aws:lambda:hold"})
    async with fresh_database() as dsn, open_ledger(dsn, 16) as ledger:
        machine = await ledger.put_machine(make_machine(task, options=Options(concurrency_limit=2)))
        async with member(dsn, tasks, "one") as first:
            executions = await started(first, machine, 10)
            await asyncio.sleep(0.4)
            waits = executions[-1]
            await first.engine.stop(waits.arn, None, None)
        async with member(dsn, tasks, "two"):
            for execution in executions:
                end = await ended(ledger, execution)
                expected = Status.ABORTED if execution is waits else Status.SUCCEEDED
                assert end.status is expected
        assert most == 2


async def test_a_parent_hears_at_once_that_its_child_ended() -> None:
    child = one_state({"Type": "Wait", "Seconds": 3})
    async with fresh_database() as dsn, two(dsn, Tasks()) as (one, _):
        inner = await one.ledger.put_machine(make_machine(child, "inner"))
        version = await one.ledger.publish(inner.arn, None, None)
        routing = ((version.arn, 100),)
        alias = Alias(f"{inner.arn}:live", "live", inner.arn, None, routing, 0.0, 0.0)
        await one.ledger.create_alias(alias)
        parents = []
        for name, arn in (("p1", inner.arn), ("p2", version.arn), ("p3", alias.arn)):
            nested = {
                "Type": "Task",
                "Resource": "arn:aws:states:::states:startExecution.sync:2",
                "Parameters": {"StateMachineArn": arn, "Input": {"n": 1}},
            }
            outer = await one.ledger.put_machine(make_machine(one_state(nested), name))
            parents += await started(one, outer, 3, name)
        for parent in parents:
            end = await ended(one.ledger, parent)
            assert end.status is Status.SUCCEEDED, end
            assert end.output is not None
            child_arn = end.output.value["ExecutionArn"]
            told = await one.ledger.execution(child_arn)
            assert (end.stopped_at or 0) - (told.stopped_at or 0) < 0.4
            if ":execution:p3" in parent.arn:
                assert (told.alias_arn, told.machine_version_arn) == (alias.arn, version.arn)


async def test_a_long_load_loses_no_shard() -> None:
    loaded = asyncio.Event()
    lost: list[Owned] = []

    async def slowly(owned: Sequence[Owned]) -> None:
        await asyncio.sleep(1.5)
        loaded.set()

    async with fresh_ledger(16) as ledger:
        ownership = Ownership(ledger, "one", 0.5, slowly, lost.append, set)
        work = asyncio.create_task(ownership.run(), name="ownership")
        try:
            async with asyncio.timeout(10):
                await loaded.wait()
            assert len(ownership.owned) == 16
            assert await ledger.claim("two", 16, 1.0) == []
            assert lost == []
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


async def test_a_running_task_is_not_done_again_when_an_engine_joins() -> None:
    async def hold(job: Job) -> Any:
        await asyncio.sleep(3.0)
        return None

    tasks = Tasks({"hold": hold})
    task = one_state({"Type": "Task", "Resource": "arn:aws:lambda:hold"})
    async with fresh_database() as dsn, member(dsn, tasks, "one", 1.0) as one:
        machine = await one.ledger.put_machine(make_machine(task))
        executions = await started(one, machine, 30)
        async with asyncio.timeout(10):
            while len(tasks.calls) < 30:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        async with member(dsn, tasks, "two", 1.0) as other:
            for execution in executions:
                assert (await ended(one.ledger, execution)).status is Status.SUCCEEDED
            assert len(tasks.calls) == 30
            async with asyncio.timeout(15):
                while other.engine.shards != 8:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)


async def test_a_map_run_tells_the_limits_that_it_was_given_later() -> None:
    each = {"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": ACTIVITY, "End": True}}}
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        run, step = await begin(ledger, owned, distributed(each), input={"items": [1, 2, 3]})
        assert dispatches(step)
        [before] = await ledger.map_runs(run.execution.arn)
        await run.send(MapRunChanged(before.arn, 7, 2, 12.5))
        after = await ledger.map_run(before.arn)
        limits = (after.max_concurrency, after.tolerated_count, after.tolerated_percentage)
        assert limits == (7, 2, 12.5)
        assert replace(before, max_concurrency=7, tolerated_count=2, tolerated_percentage=12.5) == (
            after
        )
