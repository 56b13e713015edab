"""Workflow objects become machines of an engine, and the engine's answers become their status.

The Kubernetes API and the engine's internal API are real HTTP; what is behind them is in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import aiohttp
import pytest

from tests.support.fake_api import FakeApi
from tests.support.machine_book import MachineBook, arn_of
from tests.support.platform_rig import client_of
from torpor.platform.kubernetes.recorder import EventType
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token
from torpor.workflows.admin import MachineAdmin
from torpor.workflows.asl.frontier import Status
from torpor.workflows.machines import EngineAway, Machines, Wanted
from torpor.workflows.reconcile import AGAIN_SECONDS, WorkflowReconciler
from torpor.workflows.records import MachineStatus, MachineType, Options

SECRET = b"k" * 32
KEY = FunctionKey("shop", "order")
NAME = "shop.order"
GOOD = {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}
BAD = {
    "StartAt": "A",
    "States": {"A": {"Type": "Pass", "Next": "B"}, "C": {"Type": "Wait", "End": True}},
}


@dataclass
class Told:
    """The events that people were told."""

    reasons: list[str] = field(default_factory=list)

    async def record(
        self, obj: Mapping[str, Any], kind: EventType, reason: str, note: str, *, action: str
    ) -> None:
        assert (obj["kind"], action) == ("Workflow", "Reconcile")
        self.reasons.append(reason)


@dataclass
class Rig:
    """A cluster, an engine, and the reconciler between them."""

    fake: FakeApi
    book: MachineBook
    machines: Machines
    reconciler: WorkflowReconciler
    told: Told

    def apply(self, generation: int = 1, uid: str = "u1", **spec: Any) -> None:
        found = self.fake.find("workflows", "shop", "order") or {}
        meta = {"namespace": "shop", "name": "order", "uid": uid, "generation": generation}
        obj = {
            "apiVersion": "torpor.dev/v1alpha1",
            "kind": "Workflow",
            "metadata": meta,
            "spec": spec or {"definition": GOOD},
            "status": found.get("status", {}),
        }
        self.fake.put("workflows", obj)

    def delete(self) -> None:
        self.fake.remove("workflows", "shop", "order")

    @property
    def status(self) -> dict[str, Any]:
        found = self.fake.find("workflows", "shop", "order")
        assert found is not None
        return dict(found["status"])

    def condition(self, kind: str = "Ready") -> dict[str, Any]:
        return next(item for item in self.status["conditions"] if item["type"] == kind)

    async def survey(self) -> list[FunctionKey]:
        """Do what the controller does every few seconds; return the keys it concerned."""
        keys = list(self.reconciler.surveyed(await self.machines.survey()))
        for key in keys:
            await self.reconciler.reconcile(key)
        return keys


@asynccontextmanager
async def admin_of(book: MachineBook) -> AsyncIterator[str]:
    engine = cast("Any", book)
    admin = MachineAdmin(engine, engine, SECRET, arn_of=arn_of, wall=lambda: 1.0)
    await admin.start("127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{admin.port}"
    finally:
        await admin.stop()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    fake, book, told = FakeApi(), MachineBook(), Told()
    await fake.start()
    try:
        async with (
            admin_of(book) as url,
            client_of(fake) as api,
            aiohttp.ClientSession() as session,
        ):
            machines = Machines(session, url, internal_token(SECRET))
            reconciler = WorkflowReconciler(
                api, machines, told, wall=lambda: datetime(2026, 11, 21, tzinfo=UTC)
            )
            yield Rig(fake, book, machines, reconciler, told)
    finally:
        await fake.stop()


async def test_a_good_workflow_is_ready_and_a_second_look_writes_nothing(rig: Rig) -> None:
    rig.apply()
    assert await rig.reconciler.reconcile(KEY) is None
    machine = rig.book.kept[arn_of(NAME)]
    assert (rig.condition()["status"], rig.condition()["reason"]) == ("True", "Accepted")
    assert rig.status["arn"] == machine.arn
    assert rig.status["revision"] == machine.revision_id
    assert rig.status["executions"] == {"running": 0, "succeeded": 0, "failed": 0, "aborted": 0}
    writes = rig.fake.writes()
    await rig.reconciler.reconcile(KEY)
    assert (rig.fake.writes(), rig.book.puts) == (writes, 1)
    assert rig.told.reasons == ["Ready"]


async def test_a_new_leader_puts_nothing_that_is_there(rig: Rig) -> None:
    rig.apply()
    await rig.reconciler.reconcile(KEY)
    writes = rig.fake.writes()
    api, told = rig.reconciler._api, rig.told
    other = WorkflowReconciler(api, rig.machines, told, wall=lambda: datetime.now(UTC))
    await other.reconcile(KEY)
    assert (rig.fake.writes(), rig.book.puts) == (writes, 1)


async def test_options_of_the_object_reach_the_machine(rig: Rig) -> None:
    rig.apply(
        definition=GOOD,
        type="Express",
        timeoutSeconds=60,
        logging={"level": "ALL"},
        concurrency={"limit": 2, "key": "customer"},
        retention={"days": 3},
        resources={"arn:aws:lambda:x": "charge"},
        tracing={"enabled": False},
        deletionPolicy="Stop",
    )
    await rig.reconciler.reconcile(KEY)
    machine = rig.book.kept[arn_of(NAME)]
    assert machine.type is MachineType.EXPRESS
    assert machine.options == Options(
        namespace="shop",
        resources={"arn:aws:lambda:x": "charge"},
        concurrency_limit=2,
        concurrency_key="customer",
        retention_days=3,
        timeout_seconds=60,
        logging={"level": "ALL", "includeExecutionData": False},
        tracing={"enabled": False},
        workflow_uid="u1",
        deletion_policy="Stop",
    )


async def test_every_problem_of_a_definition_is_told_in_aws_words(rig: Rig) -> None:
    rig.apply(definition=BAD)
    assert await rig.reconciler.reconcile(KEY) is None
    ready = rig.condition()
    assert (ready["status"], ready["reason"]) == ("False", "InvalidDefinition")
    assert ready["message"].startswith("Invalid State Machine Definition: '")
    assert "MISSING_TRANSITION_TARGET" in ready["message"]
    assert "/States/A/Next" in ready["message"]
    assert "/States/C" in ready["message"]
    assert rig.condition("Stalled")["status"] == "True"
    assert not rig.book.kept


async def test_a_wrong_change_leaves_the_revision_in_force(rig: Rig) -> None:
    rig.apply()
    await rig.reconciler.reconcile(KEY)
    before = rig.status["revision"]
    rig.apply(2, definition=BAD)
    await rig.reconciler.reconcile(KEY)
    assert rig.condition()["message"].endswith(f"revision {before} stays in force")
    assert (rig.status["revision"], rig.status["observedGeneration"]) == (before, 2)
    rig.apply(3)
    await rig.reconciler.reconcile(KEY)
    assert rig.condition()["status"] == "True"
    assert rig.told.reasons == ["Ready", "InvalidDefinition", "Ready"]


async def test_a_changed_definition_is_a_new_revision(rig: Rig) -> None:
    rig.apply()
    await rig.reconciler.reconcile(KEY)
    before = rig.status["revision"]
    rig.apply(2, definition={**GOOD, "Comment": "more"})
    await rig.reconciler.reconcile(KEY)
    assert rig.status["revision"] != before
    assert rig.book.puts == 2


async def test_a_definition_from_a_config_map_follows_it(rig: Rig) -> None:
    source = {"configMapKeyRef": {"name": "asl", "key": "order.json"}}
    rig.apply(definitionFrom=source)
    await rig.reconciler.reconcile(KEY)
    assert rig.condition()["reason"] == "ConfigMapMissing"
    meta = {"namespace": "shop", "name": "asl", "uid": "c1"}
    rig.fake.put("configmaps", {"metadata": meta, "data": {"order": "{}"}})
    await rig.reconciler.reconcile(KEY)
    assert "has no key order.json" in rig.condition()["message"]
    rig.fake.put("configmaps", {"metadata": meta, "data": {"order.json": "{"}})
    await rig.reconciler.reconcile(KEY)
    assert "INVALID_JSON_DESCRIPTION" in rig.condition()["message"]
    text = '{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}'
    rig.fake.put("configmaps", {"metadata": meta, "data": {"order.json": text}})
    assert rig.reconciler.users_of("shop", "asl") == [KEY]
    assert not rig.reconciler.users_of("other", "asl")
    await rig.reconciler.reconcile(KEY)
    assert rig.condition()["status"] == "True"
    assert rig.book.kept[arn_of(NAME)].definition == text


async def test_counts_follow_the_survey_and_an_unchanged_one_writes_nothing(rig: Rig) -> None:
    rig.apply()
    await rig.reconciler.reconcile(KEY)
    await rig.survey()
    rig.book.begin(NAME, "a", "b", "c")
    assert await rig.survey() == [KEY]
    assert rig.status["executions"]["running"] == 3
    rig.book.end(NAME, Status.SUCCEEDED)
    rig.book.end(NAME, Status.TIMED_OUT)
    await rig.survey()
    assert rig.status["executions"] == {"running": 1, "succeeded": 1, "failed": 1, "aborted": 0}
    writes = rig.fake.writes()
    assert await rig.survey() == []
    assert rig.fake.writes() == writes


async def test_a_ledger_that_lost_its_machines_gets_them_again(rig: Rig) -> None:
    rig.apply()
    await rig.reconciler.reconcile(KEY)
    await rig.survey()
    rig.book.kept.clear()
    assert await rig.survey() == [KEY]
    assert arn_of(NAME) in rig.book.kept
    assert rig.condition()["status"] == "True"


async def test_drain_lets_running_executions_end_and_takes_no_new_ones(rig: Rig) -> None:
    rig.apply()
    await rig.reconciler.reconcile(KEY)
    rig.book.begin(NAME, "a")
    rig.delete()
    await rig.reconciler.reconcile(KEY)
    assert rig.book.kept[arn_of(NAME)].status is MachineStatus.DELETING
    assert len(rig.book.running[arn_of(NAME)]) == 1
    rig.book.end(NAME, Status.SUCCEEDED)
    assert not rig.book.kept


async def test_stop_aborts_running_executions(rig: Rig) -> None:
    rig.apply(definition=GOOD, deletionPolicy="Stop")
    await rig.reconciler.reconcile(KEY)
    rig.book.begin(NAME, "a", "b")
    rig.delete()
    await rig.reconciler.reconcile(KEY)
    assert rig.book.ended[arn_of(NAME)] == {Status.ABORTED: 2}
    assert not rig.book.kept


async def test_a_deletion_that_nobody_saw_is_made_up_for(rig: Rig) -> None:
    rig.apply(definition=GOOD, deletionPolicy="Stop")
    await rig.reconciler.reconcile(KEY)
    rig.book.begin(NAME, "a")
    rig.delete()
    api, told = rig.reconciler._api, rig.told
    later = WorkflowReconciler(api, rig.machines, told, wall=lambda: datetime.now(UTC))
    assert later.surveyed(await rig.machines.survey()) == [KEY]
    await later.reconcile(KEY)
    assert not rig.book.kept
    assert later.surveyed(await rig.machines.survey()) == []


async def test_a_machine_that_no_workflow_asked_for_is_left_alone(rig: Rig) -> None:
    await rig.machines.put(KEY, Wanted('{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}',
                                       MachineType.STANDARD, Options()))  # fmt: skip
    assert await rig.survey() == []
    await rig.reconciler.reconcile(KEY)
    assert arn_of(NAME) in rig.book.kept


async def test_one_made_anew_waits_until_the_earlier_one_has_ended(rig: Rig) -> None:
    rig.apply()
    await rig.reconciler.reconcile(KEY)
    rig.book.begin(NAME, "a")
    rig.delete()
    await rig.reconciler.reconcile(KEY)
    rig.apply(uid="u2")
    assert await rig.reconciler.reconcile(KEY) == AGAIN_SECONDS
    assert rig.condition()["reason"] == "EarlierOneEnds"
    rig.book.end(NAME, Status.SUCCEEDED)
    assert await rig.reconciler.reconcile(KEY) is None
    assert rig.book.kept[arn_of(NAME)].options.workflow_uid == "u2"


async def test_a_ledger_that_is_away_is_tried_again(rig: Rig) -> None:
    rig.apply()
    rig.book.away = True
    assert await rig.reconciler.reconcile(KEY) == AGAIN_SECONDS
    assert rig.condition()["reason"] == "EngineAway"
    assert (rig.condition("Reconciling")["status"], rig.condition("Stalled")["status"]) == (
        "True",
        "False",
    )
    writes = rig.fake.writes()
    await rig.reconciler.reconcile(KEY)
    assert rig.fake.writes() == writes
    rig.book.away = False
    assert await rig.reconciler.reconcile(KEY) is None
    assert rig.condition()["status"] == "True"


async def test_a_machine_is_not_forgotten_while_the_engine_is_away(rig: Rig) -> None:
    rig.apply()
    await rig.reconciler.reconcile(KEY)
    rig.delete()
    rig.book.away = True
    with pytest.raises(EngineAway):
        await rig.reconciler.reconcile(KEY)


async def test_without_an_engine_the_workflow_says_so(rig: Rig) -> None:
    rig.apply()
    api, told = rig.reconciler._api, rig.told
    alone = WorkflowReconciler(api, None, told, wall=lambda: datetime.now(UTC))
    assert await alone.reconcile(KEY) is None
    assert rig.condition()["reason"] == "EngineNotInstalled"
    assert "workflows.enabled=true" in rig.condition()["message"]


async def test_only_the_installation_may_change_machines(rig: Rig) -> None:
    async with aiohttp.ClientSession() as session:
        stranger = Machines(session, rig.machines._url, "guessed")
        with pytest.raises(EngineAway, match="internal token"):
            await stranger.survey()
        with pytest.raises(EngineAway):
            await stranger.delete(KEY)
