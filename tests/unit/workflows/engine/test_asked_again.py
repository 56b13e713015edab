"""What an engine takes over: its expressions fail their state only, and never hold the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any, cast

import pytest

from tests.support.engine_rig import KEY, LoopClock, Rig, Tasks, running
from tests.support.memory_ledger import MemoryLedger
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.engine.engine import Engine, EngineOptions
from torpor.workflows.ledger.base import Ledger, Owned

_ARGUMENTS = {"Bucket": "b", "Key": "{% $random() > 0.5 ? $error('no key') : 'k' %}"}
_STORE = "arn:aws:states:::s3"
_EACH = {
    "Type": "Map",
    "ItemProcessor": {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "p",
        "States": {"p": {"Type": "Pass", "End": True}},
    },
    "End": True,
}
PASS = {"StartAt": "p", "States": {"p": {"Type": "Pass", "End": True}}}
READ = {"ItemReader": {"Resource": f"{_STORE}:getObject", "Arguments": _ARGUMENTS}}
WRITE = {
    "Items": [1],
    "ResultWriter": {"Resource": f"{_STORE}:putObject", "Arguments": _ARGUMENTS},
}


def a_map(fields: dict[str, Any]) -> dict[str, Any]:
    return {"QueryLanguage": "JSONata", "StartAt": "m", "States": {"m": {**_EACH, **fields}}}


class Chance(Random):
    """Always the same number; knows the threads that asked."""

    def __init__(self, value: float) -> None:
        super().__init__(1)
        self._value = value
        self.threads: set[str] = set()

    def random(self) -> float:
        self.threads.add(threading.current_thread().name)
        return self._value


class Store:
    """An object store that answers when it is open."""

    def __init__(self, opened: bool) -> None:
        self.opened = opened
        self.asked = asyncio.Event()

    async def read(self, *_: Any) -> list[Any]:
        await self._answer()
        return [1]

    async def write(self, *_: Any) -> Payload:
        await self._answer()
        return Payload("written")

    async def _answer(self) -> None:
        self.asked.set()
        if not self.opened:
            await asyncio.Event().wait()


@asynccontextmanager
async def at_work(
    ledger: MemoryLedger, owner: str, chance: Chance, store: Store
) -> AsyncIterator[Rig]:
    options = EngineOptions(owner, drain_seconds=0.01)
    tasks = Tasks()
    parts = ({"lambda": tasks}, store, KEY, options, LoopClock(), chance)
    engine = Engine(cast(Ledger, ledger), *parts)
    async with running(engine):
        yield Rig(ledger, engine, tasks)


@pytest.mark.parametrize("fields", [READ, WRITE], ids=["read", "write"])
@pytest.mark.parametrize(
    ("value", "end"), [(0.1, Status.SUCCEEDED), (0.9, Status.FAILED)], ids=["good", "bad"]
)
async def test_another_engine_asks_again(fields: Any, value: float, end: Status) -> None:
    ledger, closed, chance = MemoryLedger(), Store(opened=False), Chance(value)
    async with at_work(ledger, "one", Chance(0.1), closed) as it:
        execution = await it.start(await it.machine(a_map(fields)))
        await asyncio.wait_for(closed.asked.wait(), 10)
    async with at_work(ledger, "two", chance, Store(opened=True)) as it:
        ended = await it.end(execution, 10)
        assert ended.status is end
        assert ended.error == (None if end is Status.SUCCEEDED else "States.QueryEvaluationError")
        other = await it.start(await it.machine(PASS, "other"))
        assert (await it.end(other)).status is Status.SUCCEEDED
        assert chance.threads == {"steps_0"}


class Noting(MemoryLedger):
    """Notes the claims and the commits."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed: list[Owned] = []
        self.committed: list[Owned] = []

    async def claim(self, owner: str, most: int, lease_seconds: float) -> list[Owned]:
        claimed = await super().claim(owner, most, lease_seconds)
        self.claimed += claimed
        return claimed

    async def commit(self, commit: Any) -> None:
        self.committed.append(commit.owned)
        await super().commit(commit)


class Held(Chance):
    """Holds the thread that asks until it is let go."""

    def __init__(self) -> None:
        super().__init__(0.1)
        self.let_go = threading.Event()

    def random(self) -> float:
        value = super().random()
        assert self.let_go.wait(30)
        return value


async def test_a_turn_is_not_written_when_its_shard_was_lost_meanwhile() -> None:
    ledger, held = Noting(), Held()
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "p",
        "States": {"p": {"Type": "Pass", "Output": "{% $random() %}", "End": True}},
    }
    try:
        async with at_work(ledger, "one", held, Store(opened=True)) as it:
            execution = await it.start(await it.machine(definition))
            await it.until(lambda: held.threads)
            shard = ledger.shard_of(execution.arn)
            [first] = [one for one in ledger.claimed if one.shard == shard]
            ledger.steal(shard)
            await it.until(lambda: [o.shard for o in ledger.claimed].count(shard) == 2)
            held.let_go.set()
            assert (await it.end(execution)).status is Status.SUCCEEDED
            assert first not in ledger.committed
            assert held.threads == {"steps_0"}
    finally:
        held.let_go.set()
