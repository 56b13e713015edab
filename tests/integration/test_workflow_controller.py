"""The controller as it runs, with Kopf: Workflows go to the engine, and its counts come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from tests.integration.controller_rig import DiscoverableApi, running, serving
from tests.support.machine_book import MachineBook, arn_of
from tests.support.platform_rig import until
from torpor.controller import workflows
from torpor.workflows.admin import MachineAdmin
from torpor.workflows.asl.frontier import Status

PATIENCE = 20.0
GOOD = {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflows, "SURVEY_SECONDS", 0.1)


@asynccontextmanager
async def engine(book: MachineBook) -> AsyncIterator[str]:
    part = cast("Any", book)
    admin = MachineAdmin(part, part, b"k" * 32, arn_of=arn_of, wall=lambda: 1.0)
    await admin.start("127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{admin.port}"
    finally:
        await admin.stop()


def workflow(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"namespace": "shop", "name": name, "uid": f"uid-{name}", "generation": 1},
        "spec": spec or {"definition": GOOD},
    }


def reason(fake: DiscoverableApi, name: str) -> str:
    status = (fake.find("workflows", "shop", name) or {}).get("status")
    return str(status["conditions"][0]["reason"]) if status else ""


async def test_workflows_of_before_and_after_the_start_reach_the_engine() -> None:
    book = MachineBook()
    async with serving() as fake, engine(book) as url:
        fake.put("workflows", workflow("early"))
        async with running(fake, engine_url=url):
            await until(lambda: reason(fake, "early") == "Accepted", PATIENCE)
            fake.put("workflows", workflow("late"))
            await until(lambda: reason(fake, "late") == "Accepted", PATIENCE)
            assert {arn_of("shop.early"), arn_of("shop.late")} == set(book.kept)


async def test_counts_come_back_and_a_quiet_engine_causes_no_write() -> None:
    book = MachineBook()
    async with serving() as fake, engine(book) as url, running(fake, engine_url=url):
        fake.put("workflows", workflow("order"))
        await until(lambda: reason(fake, "order") == "Accepted", PATIENCE)
        book.begin("shop.order", "a", "b")
        book.end("shop.order", Status.SUCCEEDED)

        def counts() -> Any:
            return (fake.find("workflows", "shop", "order") or {})["status"]["executions"]

        await until(lambda: (counts()["running"], counts()["succeeded"]) == (1, 1), PATIENCE)
        before = fake.object_writes()
        await asyncio.sleep(1.0)
        assert fake.object_writes() == before


async def test_a_deleted_workflow_takes_its_machine_along() -> None:
    book = MachineBook()
    async with serving() as fake, engine(book) as url, running(fake, engine_url=url):
        fake.put("workflows", workflow("order"))
        await until(lambda: reason(fake, "order") == "Accepted", PATIENCE)
        fake.remove("workflows", "shop", "order")
        await until(lambda: not book.kept, PATIENCE)


async def test_a_config_map_that_changes_changes_the_machine() -> None:
    book = MachineBook()
    meta = {"namespace": "shop", "name": "asl", "uid": "c1"}
    text = '{"StartAt": "A", "States": {"A": {"Type": "Succeed", "Comment": "%s"}}}'
    source = {"configMapKeyRef": {"name": "asl", "key": "order.json"}}
    async with serving() as fake, engine(book) as url, running(fake, engine_url=url):
        fake.put("workflows", workflow("order", definitionFrom=source))
        await until(lambda: reason(fake, "order") == "ConfigMapMissing", PATIENCE)
        for version in ("one", "two"):
            fake.put("configmaps", {"metadata": meta, "data": {"order.json": text % version}})
            await until(lambda v=version: v in definition(book), PATIENCE)  # type: ignore[misc]


async def test_an_engine_that_comes_late_is_found() -> None:
    book = MachineBook(away=True)
    async with serving() as fake, engine(book) as url, running(fake, engine_url=url):
        fake.put("workflows", workflow("order"))
        await until(lambda: reason(fake, "order") == "EngineAway", PATIENCE)
        book.away = False
        await until(lambda: reason(fake, "order") == "Accepted", PATIENCE)


def definition(book: MachineBook) -> str:
    machine = book.kept.get(arn_of("shop.order"))
    return machine.definition if machine else ""
