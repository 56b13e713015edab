"""Machines, versions, aliases, tags, activities, pages and retention on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.support.ledger_rig import (
    ARN,
    CHAIN,
    MACHINE_ARN,
    STARTED_AT,
    Running,
    a_machine,
    an_execution,
    begin,
    claim_all,
    fresh_ledger,
)
from tests.support.postgres import needs_postgres
from torpor.workflows.asl.events import Start, Stop
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger import retention
from torpor.workflows.ledger.base import AlreadyExists, InvalidToken, NotFound
from torpor.workflows.ledger.postgres import PostgresLedger
from torpor.workflows.records import Activity, Alias, Execution, MachineStatus, Options

pytestmark = needs_postgres
DAY = 86_400.0


async def test_a_machine_keeps_its_creation_and_every_revision() -> None:
    options = Options("ns", {"arn:a": "f"}, 3, "$.k", 7, None, 5.5, {"level": "ALL"}, {"on": True})
    async with fresh_ledger() as ledger:
        first = await ledger.put_machine(a_machine("m", options=options, description="d"))
        assert await ledger.machine(first.arn) == first
        second = await ledger.put_machine(
            replace(first, revision_id="r2", definition="{2}", created_at=9e9, updated_at=9e9),
            first.revision_id,
        )
        assert (second.created_at, second.updated_at) == (STARTED_AT, 9e9)
        assert await ledger.machine(first.arn) == second
        assert (await ledger.revision(first.arn, "r1")).definition == "{}"
        with pytest.raises(NotFound):
            await ledger.revision(first.arn, "r3")


async def test_a_deleted_machine_is_there_until_its_last_execution_ended() -> None:
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        running, _ = await begin(ledger, owned, CHAIN)
        await ledger.set_tags(MACHINE_ARN, {"a": "b"}, ())
        await ledger.delete_machine(MACHINE_ARN)
        assert (await ledger.machine(MACHINE_ARN)).status is MachineStatus.DELETING
        await running.send(Stop())
        with pytest.raises(NotFound):
            await ledger.machine(MACHINE_ARN)
        assert (await ledger.machines(10, None)).items == ()
        assert (await ledger.revision(MACHINE_ARN, "r1")).name == "shop"
        again = await ledger.put_machine(a_machine())
        assert again.status is MachineStatus.ACTIVE
        assert await ledger.tags(MACHINE_ARN) == {}


async def test_versions_are_numbered_and_the_same_revision_is_published_once() -> None:
    async with fresh_ledger() as ledger:
        one = await ledger.publish(MACHINE_ARN, "r1", "first")
        assert (one.arn, one.number, one.description) == (f"{MACHINE_ARN}:1", 1, "first")
        assert await ledger.publish(MACHINE_ARN, None, "other") == one
        await ledger.put_machine(a_machine(revision="r2"), "r1")
        with pytest.raises(AlreadyExists):
            await ledger.publish(MACHINE_ARN, "r1", None)
        two = await ledger.publish(MACHINE_ARN, None, None)
        await ledger.delete_version(two.arn)
        three = await ledger.publish(MACHINE_ARN, None, None)
        assert three.number == 3
        page = await ledger.versions(MACHINE_ARN, 1, None)
        rest = await ledger.versions(MACHINE_ARN, 1, page.next_token)
        assert (*page.items, *rest.items) == (three, one)
        assert rest.next_token is None
        assert await ledger.version(one.arn) == one


async def test_an_alias_is_created_changed_listed_and_deleted() -> None:
    async with fresh_ledger() as ledger:
        arn = f"{MACHINE_ARN}:live"
        alias = Alias(arn, "live", MACHINE_ARN, None, ((f"{MACHINE_ARN}:1", 100),), 1.0, 1.0)
        assert await ledger.create_alias(alias) == alias
        with pytest.raises(AlreadyExists):
            await ledger.create_alias(alias)
        routing = ((f"{MACHINE_ARN}:1", 20), (f"{MACHINE_ARN}:2", 80))
        changed = await ledger.change_alias(
            replace(alias, routing=routing, description="d", created_at=2.0, updated_at=2.0)
        )
        assert (changed.routing, changed.created_at, changed.updated_at) == (routing, 1.0, 2.0)
        assert (await ledger.aliases(MACHINE_ARN, 5, None)).items == (changed,)
        assert await ledger.alias(arn) == changed
        await ledger.delete_alias(arn)
        with pytest.raises(NotFound):
            await ledger.alias(arn)
        with pytest.raises(NotFound):
            await ledger.change_alias(alias)


async def test_tags_and_activities() -> None:
    async with fresh_ledger() as ledger:
        activity = Activity(f"{ARN}:activity:a", "a", 1.0)
        assert await ledger.put_activity(activity) == activity
        assert await ledger.put_activity(replace(activity, created_at=2.0)) == activity
        await ledger.put_activity(Activity(f"{ARN}:activity:b", "b", 1.0))
        assert await ledger.set_tags(activity.arn, {"x": "1", "y": "2"}, ()) == {"x": "1", "y": "2"}
        assert await ledger.set_tags(activity.arn, {"x": "3"}, ("y",)) == {"x": "3"}
        with pytest.raises(NotFound):
            await ledger.set_tags("arn:none", {"x": "1"}, ())
        page = await ledger.activities(1, None)
        rest = await ledger.activities(1, page.next_token)
        assert [item.name for item in (*page.items, *rest.items)] == ["a", "b"]
        await ledger.delete_activity(activity.arn)
        with pytest.raises(NotFound):
            await ledger.activity(activity.arn)


async def test_no_tags_stay_of_what_is_deleted_meanwhile() -> None:
    async with fresh_ledger() as ledger, asyncio.timeout(20):
        async with ledger._database.transaction() as deleting:
            await deleting.execute("DELETE FROM machine WHERE arn = $1", MACHINE_ARN)
            tagging = asyncio.create_task(ledger.set_tags(MACHINE_ARN, {"x": "1"}, ()))
            while not (tagging.done() or await ledger._database.value(_BLOCKED)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        with pytest.raises(NotFound):
            await tagging
        assert await ledger._database.value("SELECT count(*) FROM tag") == 0


_BLOCKED = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def test_pages_hold_every_execution_once_newest_first_and_tokens_are_checked() -> None:
    async with fresh_ledger() as ledger:
        for n in range(25):
            await ledger.insert(an_execution(f"p{n}", started_at=STARTED_AT + n // 3))
        seen: list[Execution] = []
        token: str | None = None
        while True:
            page = await ledger.executions(MACHINE_ARN, Status.RUNNING, 10, token)
            seen += page.items
            token = page.next_token
            if token is None:
                break
        assert len({item.arn for item in seen}) == len(seen) == 25
        times = [item.started_at for item in seen]
        assert times == sorted(times, reverse=True)
        assert (await ledger.executions(MACHINE_ARN, Status.FAILED, 10, None)).items == ()
        assert len((await ledger.executions(None, None, 100, None, redriven=False)).items) == 25
        assert await ledger.counts(MACHINE_ARN) == {Status.RUNNING: 25}
        for bad in ("nonsense", "W10", "WzEsMl0", "é"):
            with pytest.raises(InvalidToken):
                await ledger.executions(MACHINE_ARN, None, 10, bad)


async def test_a_history_is_paged_in_both_directions() -> None:
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        running, _ = await begin(ledger, owned, CHAIN)
        await running.send(Stop())
        for newest_first in (False, True):
            ids, token = [], None
            while True:
                page = await ledger.history(running.execution.arn, 2, token, newest_first)
                ids += [row.id for row in page.items]
                token = page.next_token
                if token is None:
                    break
            assert ids == sorted(ids, reverse=newest_first)
            assert len(ids) == 5


async def tables(ledger: PostgresLedger) -> dict[str, int]:
    names = ("execution", "frontier", "frame", "fresh", "history", "blob", "revision")
    return {
        name: int(await ledger._database.value(f"SELECT count(*) FROM {name}")) for name in names
    }


async def test_what_is_past_its_retention_goes_and_the_rest_stays() -> None:
    large = "x" * 10_000
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        await ledger.put_machine(a_machine(revision="r1", options=Options(retention_days=10)), "r1")
        ages = {"old": 12, "new": 5, "running": 12, "keeps-its-day": 12}
        runs: dict[str, Running] = {}
        for name, age in ages.items():
            started_at = STARTED_AT - age * DAY - (DAY if name == "old" else 0)
            execution = await ledger.insert(an_execution(name, [name, large], started_at))
            runs[name] = Running(ledger, owned[execution.shard], execution, CHAIN)
            await runs[name].send(Start())
            if name not in ("running",):
                await runs[name].send(Stop())
        assert (await tables(ledger))["blob"] == 4
        assert await ledger.expire(STARTED_AT) == 2
        left = await tables(ledger)
        assert left["execution"] == left["frontier"] == left["frame"] == 2
        # The day of the running execution keeps the history of another one that is gone.
        assert left["history"] == 4 + 5 + 5
        assert left["blob"] == 3
        with pytest.raises(NotFound):
            await ledger.history(runs["old"].execution.arn, 10, None, newest_first=False)
        await runs["running"].send(Stop())
        assert await ledger.expire(STARTED_AT + 60 * DAY) == 2
        assert sum((await tables(ledger)).values()) == 1
        assert (await ledger.machine(MACHINE_ARN)).revision_id == "r1"
        again = await ledger.insert(an_execution("old", [large], STARTED_AT - 13 * DAY))
        assert again.input == Payload([large])
        assert (await ledger.load_one(again.arn)).execution == again


async def test_one_process_at_a_time_deletes_and_none_waits_for_it() -> None:
    async with fresh_ledger() as ledger:
        owned = await claim_all(ledger)
        running, _ = await begin(ledger, owned, CHAIN)
        await running.send(Stop())
        async with ledger._database.transaction() as other:
            await other.execute("SELECT pg_advisory_xact_lock($1)", retention._LOCK)
            assert await ledger.expire(STARTED_AT + 365 * DAY) == 0
        assert await ledger.expire(STARTED_AT + 365 * DAY) == 1


async def test_what_is_kept_is_not_read_to_find_what_goes() -> None:
    many = """
        INSERT INTO execution (key, arn, name, machine_arn, revision_id, shard, day, status,
            input_digest, started_at, stopped_at)
        SELECT gen_random_uuid(), 'a' || i, 'n' || i, 'm', 'r', 0, 20000, 'SUCCEEDED', '\\x00',
            $1 - i, $1 - i FROM generate_series(1, 20000) AS i
    """
    async with fresh_ledger() as ledger:
        await ledger.put_machine(a_machine(options=Options(retention_days=3)), "r1")
        await ledger._database.rows(many, STARTED_AT)
        await ledger._database.rows("ANALYZE execution")
        plan = await ledger._database.rows(
            f"EXPLAIN {retention._EXPIRE}", STARTED_AT, 90.0, retention._AT_ONCE
        )
        text = "\n".join(row[0] for row in plan)
        assert "Index Scan using execution_by_end on execution e" in text, text
