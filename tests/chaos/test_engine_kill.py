"""Two engines and 500 executions; engines are killed and frozen, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from aiohttp import web

from tests.chaos.report import Faults
from tests.support.engine_rig import make_execution, make_machine
from tests.support.postgres import fresh_database, needs_postgres
from torpor.workflows.asl.frontier import Status
from torpor.workflows.ledger.base import Ledger
from torpor.workflows.ledger.postgres import open_ledger
from torpor.workflows.records import Execution

pytestmark = [needs_postgres, pytest.mark.timeout(900)]

EXECUTIONS = int(os.environ.get("TORPOR_CHAOS_EXECUTIONS", "500"))
KILLS = int(os.environ.get("TORPOR_CHAOS_KILLS", "20"))
FROZEN_SECONDS = float(os.environ.get("TORPOR_CHAOS_FROZEN_SECONDS", "30"))
MOST_RECOVERY_SECONDS = 10.0
ITEMS = 3


def definition() -> dict[str, Any]:
    def task(name: str, **more: Any) -> dict[str, Any]:
        return {"Type": "Task", "Resource": f"arn:aws:lambda:{name}", **more}

    each = {
        "Type": "Map",
        "ItemsPath": "$.items",
        "ItemSelector": {"id.$": "$.id", "item.$": "$$.Map.Item.Value"},
        "ItemProcessor": {"StartAt": "item", "States": {"item": task("item", End=True)}},
        "End": True,
    }
    wait = {"Type": "Wait", "SecondsPath": "$.seconds", "Next": "after"}
    branches = [
        {"StartAt": "each", "States": {"each": each}},
        {"StartAt": "wait", "States": {"wait": wait, "after": task("after", End=True)}},
    ]
    return {
        "StartAt": "prepare",
        "States": {
            "prepare": task("prepare", ResultPath=None, Next="both"),
            "both": {"Type": "Parallel", "Branches": branches, "Next": "finish"},
            "finish": task("finish", End=True),
        },
    }


ENTERED = {
    **dict.fromkeys(("prepare", "both", "each", "wait", "after", "finish"), 1),
    "item": ITEMS,
}


@dataclass
class Functions:
    """Stands in for gateway and functions: echoes, and notes every call by its key."""

    calls: Counter[tuple[str, int]] = field(default_factory=Counter)
    keys: set[str] = field(default_factory=set)
    random: Random = field(default_factory=lambda: Random(5))

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        await asyncio.sleep(self.random.uniform(0.01, 0.15))
        sample = body[1] if isinstance(body, list) else body
        self.calls[request.match_info["name"], sample["id"]] += 1
        self.keys.add(request.headers["Idempotency-Key"])
        return web.json_response(body)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/function/default/{name}/", self.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


@dataclass
class Engines:
    """The engine processes of the test; each start gets a name of its own."""

    dsn: str
    gateway: str
    count: int = 0
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> str:
        self.count += 1
        owner = f"engine-{self.count}"
        command = [sys.executable, "-m", "tests.chaos.engine_process", self.dsn, self.gateway]
        self.processes[owner] = subprocess.Popen([*command, owner])
        return owner

    def kill(self, owner: str) -> None:
        process = self.processes.pop(owner)
        process.kill()
        process.wait(10)

    def send(self, owner: str, number: signal.Signals) -> None:
        self.processes[owner].send_signal(number)


@contextmanager
def engines(dsn: str, gateway: str) -> Iterator[Engines]:
    found = Engines(dsn, gateway)
    try:
        yield found
    finally:
        for owner in list(found.processes):
            found.send(owner, signal.SIGCONT)
            found.kill(owner)


async def _owned_without(ledger: Ledger, gone: str, seconds: float = 30.0) -> float:
    """Seconds until every shard belongs to a live engine other than `gone`."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            owners = await ledger.owners()
            if gone not in owners and sum(owners.values()) == ledger.shards:
                return time.monotonic() - began
            await asyncio.sleep(0.05)


async def _ends(ledger: Ledger, executions: list[Execution], seconds: float) -> list[Execution]:
    ended = []
    async with asyncio.timeout(seconds):
        for execution in executions:
            while (  # noqa: ASYNC110
                now := await ledger.execution(execution.arn)
            ).status is Status.RUNNING:
                await asyncio.sleep(0.1)
            ended.append(now)
    return ended


async def _check_history(ledger: Ledger, execution: Execution) -> int:
    """Each event once, each state entered as often as the definition says; returns the events."""
    page = await ledger.history(execution.arn, 1_000, None, False)
    assert [row.id for row in page.items] == list(range(1, len(page.items) + 1))
    entered = Counter(
        str(row.details["name"]) for row in page.items if row.type.endswith("StateEntered")
    )
    assert entered == ENTERED, execution.arn
    ends = [row.type for row in page.items if row.type.startswith("Execution")]
    assert ends == ["ExecutionStarted", "ExecutionSucceeded"]
    return len(page.items)


async def test_killed_and_frozen_engines_lose_and_double_nothing(faults: Faults) -> None:
    random, functions = Random(20), Functions()
    longest = 7.0 * KILLS + FROZEN_SECONDS
    async with (
        fresh_database() as dsn,
        functions.served() as gateway,
        open_ledger(dsn) as ledger,
    ):
        machine = await ledger.put_machine(make_machine(definition()))
        with engines(dsn, gateway) as running:
            live = [running.start(), running.start()]
            await _owned_without(ledger, "nobody")
            inputs = [
                {
                    "id": n,
                    "seconds": random.randint(1, int(longest)),
                    "items": list(range(ITEMS)),
                }
                for n in range(EXECUTIONS)
            ]
            started = [
                make_execution(machine, input, f"c{input['id']}", time.time()) for input in inputs
            ]
            await asyncio.gather(*(ledger.insert(execution) for execution in started))
            recoveries = [await _kill_one(ledger, running, live, random) for _ in range(KILLS)]
            await _freeze_one(ledger, running, live)
            ended = await _ends(ledger, started, longest + 60)
        for input, execution in zip(inputs, ended, strict=True):
            assert execution.status is Status.SUCCEEDED, execution
            assert execution.output is not None
            each = [{"id": input["id"], "item": item} for item in range(ITEMS)]
            assert execution.output.value == [each, input]
        events = [await _check_history(ledger, execution) for execution in ended]
    _report(functions, recoveries, sum(events), faults)
    assert max(recoveries) < MOST_RECOVERY_SECONDS


async def _kill_one(ledger: Ledger, running: Engines, live: list[str], random: Random) -> float:
    await asyncio.sleep(random.uniform(0.1, 1.5))
    victim = live.pop(random.randrange(len(live)))
    running.kill(victim)
    recovery = await _owned_without(ledger, victim)
    live.append(running.start())
    return recovery


async def _freeze_one(ledger: Ledger, running: Engines, live: list[str]) -> None:
    """Stop one engine until others have its shards, then let it go on as a zombie."""
    running.send(live[0], signal.SIGSTOP)
    try:
        await asyncio.sleep(FROZEN_SECONDS)
        assert live[0] not in await ledger.owners()
    finally:
        running.send(live[0], signal.SIGCONT)


def _report(functions: Functions, recoveries: list[float], events: int, faults: Faults) -> None:
    calls = functions.calls
    for n in range(EXECUTIONS):
        for name, times in (("prepare", 1), ("item", ITEMS), ("after", 1), ("finish", 1)):
            assert calls[name, n] >= times, f"{name} of {n} never happened"
    wanted = EXECUTIONS * (ITEMS + 3)
    assert len(functions.keys) == wanted, "one idempotency key for each task"
    recovered = sorted(recoveries)
    again = f"{calls.total() - wanted} of {calls.total()} calls made again, under their keys"
    lost = f"none of {EXECUTIONS} executions and {events} history events; {again}"
    median, longest = recovered[len(recovered) // 2], recovered[-1]
    faults.add(
        "engine killed", KILLS, f"{lost}; back after {median:.1f} s, at most {longest:.1f} s"
    )
    faults.add(f"engine frozen for {FROZEN_SECONDS:g} s", 1, "nothing: others had its shards")
