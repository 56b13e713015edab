"""The internal API over a real ledger: what the controller asks for is kept, and nothing else."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import aiohttp
import pytest

from tests.support.postgres import fresh_database, needs_postgres
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token
from torpor.workflows.admin import MachineAdmin
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import EMPTY
from torpor.workflows.engine.tracing import trace_of
from torpor.workflows.latest import LATEST_PATH, LatestExecution
from torpor.workflows.ledger.postgres import PostgresLedger, open_ledger
from torpor.workflows.machines import DefinitionRefused, MachineDeleting, Machines, Wanted
from torpor.workflows.records import Execution, MachineStatus, MachineType, Options
from torpor.workflows.stepfunctions.arns import Place, execution_arn

pytestmark = needs_postgres
SECRET = b"k" * 32
KEY = FunctionKey("shop", "order")
TEXT = '{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}'
OPTIONS = Options(
    namespace="shop",
    resources={"arn:aws:lambda:x": "charge"},
    concurrency_limit=2,
    concurrency_key="customer",
    retention_days=3,
    timeout_seconds=60,
    logging={"level": "ALL", "includeExecutionData": False},
    tracing={"enabled": False},
    workflow_uid="u1",
    deletion_policy="Drain",
)
WANTED = Wanted(TEXT, MachineType.STANDARD, OPTIONS)


@dataclass
class Rig:
    """The client, and what is behind the API."""

    machines: Machines
    ledger: PostgresLedger
    stopped: list[str]
    url: str

    async def begin(self, name: str) -> Execution:
        """Have an execution run."""
        [standing] = await self.machines.survey()
        execution = Execution(
            arn=execution_arn(standing.arn, name),
            name=name,
            machine_arn=standing.arn,
            revision_id=standing.revision,
            shard=self.ledger.shard_of(execution_arn(standing.arn, name)),
            status=Status.RUNNING,
            input=EMPTY,
            started_at=time.time(),
        )
        return await self.ledger.insert(execution)


class Stops:
    """Notes what is to be stopped."""

    def __init__(self, stopped: list[str]) -> None:
        self._stopped = stopped

    async def stop(self, arn: str, error: str | None, cause: str | None) -> float:
        self._stopped.append(arn)
        return 0.0


@asynccontextmanager
async def serving() -> AsyncIterator[Rig]:
    stopped: list[str] = []
    async with fresh_database() as dsn, open_ledger(dsn, 4) as ledger:
        admin = MachineAdmin(
            ledger,
            cast("Any", Stops(stopped)),
            SECRET,
            arn_of=Place().machine,
            wall=time.time,
            payload_bytes=1_000,
        )
        await admin.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession() as session:
                url = f"http://127.0.0.1:{admin.port}"
                yield Rig(Machines(session, url, internal_token(SECRET)), ledger, stopped, url)
        finally:
            await admin.stop()


async def test_a_machine_is_kept_as_wanted_and_the_same_again_is_no_new_revision() -> None:
    async with serving() as rig:
        first = await rig.machines.put(KEY, WANTED)
        kept = await rig.ledger.machine(first.arn)
        assert kept.options == replace(OPTIONS, payload_bytes=1_000)
        assert (kept.definition, kept.name) == (TEXT, "shop.order")
        assert await rig.machines.put(KEY, WANTED) == first
        changed = await rig.machines.put(KEY, replace(WANTED, definition=TEXT + " "))
        assert changed.revision != first.revision
        other = replace(WANTED, options=replace(OPTIONS, retention_days=4))
        assert (await rig.machines.put(KEY, other)).revision != changed.revision


async def test_a_wrong_definition_changes_nothing() -> None:
    async with serving() as rig:
        first = await rig.machines.put(KEY, WANTED)
        with pytest.raises(DefinitionRefused, match="INVALID_JSON_DESCRIPTION"):
            await rig.machines.put(KEY, replace(WANTED, definition="{"))
        assert list(await rig.machines.survey()) == [first]


async def test_a_machine_keeps_its_type() -> None:
    async with serving() as rig:
        first = await rig.machines.put(KEY, WANTED)
        with pytest.raises(DefinitionRefused, match=r"shop\.order is STANDARD and cannot change"):
            await rig.machines.put(KEY, replace(WANTED, type=MachineType.EXPRESS))
        assert list(await rig.machines.survey()) == [first]


async def test_the_survey_counts_executions() -> None:
    async with serving() as rig:
        await rig.machines.put(KEY, WANTED)
        await rig.begin("a")
        await rig.begin("b")
        [standing] = await rig.machines.survey()
        assert standing.counts[Status.RUNNING] == 2
        assert standing.workflow_uid == "u1"


async def test_a_deleted_machine_drains_and_cannot_be_put_meanwhile() -> None:
    async with serving() as rig:
        await rig.machines.put(KEY, WANTED)
        await rig.begin("a")
        await rig.machines.delete(KEY)
        [standing] = await rig.machines.survey()
        assert (standing.status, rig.stopped) == (MachineStatus.DELETING, [])
        with pytest.raises(MachineDeleting):
            await rig.machines.put(KEY, WANTED)


async def test_stop_stops_what_runs() -> None:
    async with serving() as rig:
        stops = replace(WANTED, options=replace(OPTIONS, deletion_policy="Stop"))
        await rig.machines.put(KEY, stops)
        running = await rig.begin("a")
        await rig.machines.delete(KEY)
        assert rig.stopped == [running.arn]


async def test_a_machine_without_executions_is_gone_at_once_and_may_come_again() -> None:
    async with serving() as rig:
        await rig.machines.put(KEY, WANTED)
        await rig.machines.delete(KEY)
        await rig.machines.delete(KEY)
        assert list(await rig.machines.survey()) == []
        assert (await rig.machines.put(KEY, WANTED)).status is MachineStatus.ACTIVE


async def test_a_machine_of_a_client_is_not_the_controllers_to_delete() -> None:
    async with serving() as rig:
        foreign = replace(WANTED, options=Options(namespace="shop"))
        await rig.machines.put(KEY, foreign)
        await rig.machines.delete(KEY)
        [standing] = await rig.machines.survey()
        assert (standing.status, standing.workflow_uid) == (MachineStatus.ACTIVE, None)


async def test_the_latest_executions_are_told_with_the_states_that_they_are_in() -> None:
    async with serving() as rig:
        await rig.machines.put(KEY, WANTED)
        first = await rig.begin("first")
        await rig.begin("second")
        found = [LatestExecution.from_json(item) for item in await latest_of(rig)]
        assert [item.name for item in found] == ["second", "first"]
        assert (found[1].arn, found[1].workflow) == (first.arn, "shop/order")
        assert (found[1].status, found[1].states, found[1].stopped_at) == ("RUNNING", (), None)
        assert found[1].trace_id == trace_of(first).id


async def latest_of(rig: Rig) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {internal_token(SECRET)}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(rig.url + LATEST_PATH) as answer,
    ):
        assert answer.status == 200
        executions: list[dict[str, Any]] = (await answer.json())["executions"]
        return executions
