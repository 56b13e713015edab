"""Objects that cannot be read, and reads that fail in ways nobody thought of, fail one state."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from tests.support.engine_rig import (
    KEY,
    PREFIX,
    LoopClock,
    NoItems,
    Rig,
    Tasks,
    make_machine,
    rig,
    running,
)
from tests.support.memory_ledger import MemoryLedger
from torpor.workflows.asl.events import ReadItems
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.engine.base import Items
from torpor.workflows.engine.dispatching import Dispatcher, Work
from torpor.workflows.engine.engine import Engine, EngineOptions
from torpor.workflows.engine.integrations.objects import (
    MOST_CONTENT_BYTES,
    StoreFailed,
    open_store,
)
from torpor.workflows.engine.integrations.store import (
    MOST_CELL_CHARACTERS,
    MOST_ITEMS_BYTES,
    MOST_JSON_BYTES,
    StoredItems,
)
from torpor.workflows.engine.tokens import TaskRef
from torpor.workflows.ledger.base import ActivityTask, Ledger, LedgerError
from torpor.workflows.records import Execution, Machine

PASS = {"Type": "Pass", "End": True}
CHILD = {
    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
    "StartAt": "p",
    "States": {"p": PASS},
}


async def ended(items: Items, fields: Mapping[str, Any], error: str) -> Execution:
    """How a Map with these fields ended; the engine must be there after it."""
    state = {"Type": "Map", "End": True, "ItemProcessor": CHILD, **fields}
    definition = {"StartAt": "m", "States": {"m": state, "after": PASS}}
    state["Catch"] = [{"ErrorEquals": [error], "Next": "after"}]
    ledger = MemoryLedger()
    options = EngineOptions("one")
    engine = Engine(cast(Ledger, ledger), {}, items, KEY, options, LoopClock(), Random(1))
    async with running(engine):
        at_work = Rig(ledger, engine, Tasks())
        found = await at_work.run(definition, {"items": [1]})
        next_one = await at_work.machine({"StartAt": "p", "States": {"p": PASS}}, "next")
        assert (await at_work.end(await at_work.start(next_one))).status is Status.SUCCEEDED
        return found


@pytest.mark.parametrize(
    ("content", "config", "cause"),
    [
        (b'{"a":1}', {"InputType": "JSON", "ItemsPointer": "/a/b"}, "ItemsPointer"),
        (b'{"a":[1]}', {"InputType": "JSON", "ItemsPointer": "/a/b"}, "invalid literal"),
        (b'h\n"' + b"x" * (MOST_CELL_CHARACTERS + 1), {"InputType": "CSV"}, "field limit"),
        (b"\x1f\x8b\x08\x00\x00", {"InputType": "JSON"}, "Compressed file ended"),
        (gzip.compress(b"[1]")[:-9] + b"\xff" * 9, {"InputType": "JSON"}, ""),
        (b"[" * 200_000, {"InputType": "JSON"}, "depth limit"),
        (b"[1]", {"InputType": "MANIFEST"}, "list indices"),
        (gzip.compress(b"1\n" * (MOST_ITEMS_BYTES // 2 + 1)), {"InputType": "JSONL"}, "divide"),
        (b"[" + b" " * MOST_JSON_BYTES + b"]", {"InputType": "JSON"}, "use InputType JSONL"),
    ],
)
async def test_a_bad_object_fails_its_map_and_nothing_else(
    content: bytes, config: dict[str, Any], cause: str, tmp_path: Path
) -> None:
    store = open_store(f"file://{tmp_path}")
    await store.put("b", "k", content)
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"CSVHeaderLocation": "FIRST_ROW", **config},
        "Parameters": {"Bucket": "b", "Key": "k"},
    }
    found = await ended(StoredItems(store), {"ItemReader": reader}, "States.ItemReaderFailed")
    assert found.status is Status.SUCCEEDED
    assert found.output is not None
    assert found.output.value["Error"] == "States.ItemReaderFailed"
    assert cause in found.output.value["Cause"]


async def test_an_object_that_is_too_large_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with (tmp_path / "b" / "k").open("wb") as file:
        file.truncate(MOST_CONTENT_BYTES + 1)
    with pytest.raises(StoreFailed, match=f"more than {MOST_CONTENT_BYTES} bytes"):
        await open_store(f"file://{tmp_path}").get("b", "k")


async def test_the_files_of_a_manifest_are_bounded_together(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    half = gzip.compress(b"1\n" * (MOST_ITEMS_BYTES // 4 + 1), 1)
    manifest = {
        "destinationBucket": "arn:aws:s3:::b",
        "fileSchema": "n",
        "files": [{"key": "one"}, {"key": "two"}],
    }
    await store.put("b", "k", json.dumps(manifest).encode())
    await store.put("b", "one", half)
    await store.put("b", "two", half)
    request = ReadItems(
        1,
        1,
        "arn:aws:states:::s3:getObject",
        {"Bucket": "b", "Key": "k"},
        {"InputType": "MANIFEST"},
        None,
    )
    machine = make_machine({"StartAt": "p", "States": {"p": PASS}})
    with pytest.raises(Fault, match="divide them"):
        await StoredItems(store).read(machine, request)
    few = await StoredItems(store).read(machine, replace(request, max_items=3))
    assert few == [{"n": "1"}] * 3


async def test_a_cell_of_140_kb_is_read(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    await store.put("b", "k", b'h\n"' + b"x" * 140_000 + b'"\n')
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"},
        "Parameters": {"Bucket": "b", "Key": "k"},
    }
    found = await ended(StoredItems(store), {"ItemReader": reader}, "States.ItemReaderFailed")
    assert found.output == Payload([{"h": "x" * 140_000}])


class Broken(NoItems):
    """A store whose client has a defect."""

    async def write(self, machine: Machine, request: Any) -> Payload:
        raise TypeError("a defect of the client")


async def test_a_defect_in_writing_results_fails_the_map() -> None:
    writer = {
        "Resource": "arn:aws:states:::s3:putObject",
        "Parameters": {"Bucket": "b", "Prefix": "p"},
    }
    fields = {"ResultWriter": writer, "ItemsPath": "$.items"}
    found = await ended(Broken(), fields, "States.ResultWriterFailed")
    assert found.output is not None
    assert found.output.value["Error"] == "States.ResultWriterFailed"
    assert found.output.value["Cause"] == "TypeError: a defect of the client"


async def test_a_defect_in_work_does_not_end_the_others() -> None:
    done = asyncio.Event()

    async def defect() -> None:
        raise TypeError("a defect")

    async def good() -> None:
        done.set()

    async with asyncio.TaskGroup() as group:
        dispatcher = Dispatcher(lambda do, name: group.create_task(do, name=name), 1)
        dispatcher.submit(Work(TaskRef("a", 1, 1), "lane", defect))
        dispatcher.submit(Work(TaskRef("b", 1, 1), "lane", good))
        async with asyncio.timeout(5):
            await done.wait()
    assert not dispatcher.busy("a")


class Refusing(MemoryLedger):
    """A ledger that refuses one kind of write for good."""

    async def offer(self, activity_arn: str, task: ActivityTask) -> None:
        raise LedgerError("a value that PostgreSQL refuses")


async def test_work_that_cannot_be_done_fails_its_state() -> None:
    activity = {"Type": "Task", "Resource": f"{PREFIX}:activity:a", "End": True}
    async with rig(ledger=Refusing()) as it:
        found = await it.run({"StartAt": "s", "States": {"s": activity}})
        assert (found.status, found.error) == (Status.FAILED, "States.Runtime")
        assert "a value that PostgreSQL refuses" in (found.cause or "")
