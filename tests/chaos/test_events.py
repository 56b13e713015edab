"""20,000 events while dispatchers, the broker and functions are killed: none is lost.

One bus, three Triggers of two `torpor events` processes: a plain one, one with `dedupe`, one with
order by key. What is durable is so over a crash of the broker (`sync_interval: always`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from tests.chaos.events_rig import (
    FUNCTIONS,
    ONCE,
    ORDERED,
    PLAIN,
    Functions,
    Publisher,
    numbers_for,
)
from tests.chaos.report import Faults
from tests.support.servers.events import EventsProcess
from tests.support.servers.nats import nats_server, needs_nats
from torpor.resources.names import FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import connected
from torpor.triggers.broker.embedded import EmbeddedNats
from torpor.triggers.broker.streams import Streams
from torpor.triggers.standings import TargetFacts, Wanted

pytestmark = [needs_nats, pytest.mark.timeout(1_500)]

EVENTS = int(os.environ.get("TORPOR_CHAOS_EVENTS", "20000"))
KILLS = int(os.environ.get("TORPOR_CHAOS_KILLS", "20"))
FROZEN_SECONDS = float(os.environ.get("TORPOR_CHAOS_FROZEN_SECONDS", "30"))
PER_SECOND = 150.0
ACK_WAIT_SECONDS = 5
MOST_RECOVERY_SECONDS = 60.0
DELIVERED_SECONDS = 300.0
SPECS: Mapping[str, Mapping[str, Any]] = {
    PLAIN: {},
    ONCE: {"dedupe": {"key": "data.n"}, "delivery": {"timeoutSeconds": 5}},
    ORDERED: {"ordering": {"key": "data.key"}},
}


@dataclass
class Chaos:
    """All that runs, and how long each loss was felt."""

    nats: EmbeddedNats
    functions: Functions
    session: aiohttp.ClientSession
    replicas: Sequence[EventsProcess]
    publisher: Publisher
    random: Random = field(default_factory=lambda: Random(20))
    felt: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def kill_dispatcher(self) -> None:
        victim = self.random.choice(self.replicas)
        victim.kill()
        await self._recovered("dispatcher killed")
        victim.start()
        await victim.ready(self.session)

    async def kill_broker(self) -> None:
        self.nats.kill()
        await asyncio.to_thread(self.nats.start)
        await self._recovered("broker killed")

    async def kill_functions(self) -> None:
        self.functions.kill()
        await self.functions.start()
        await self._recovered("functions killed")

    async def freeze_dispatcher(self) -> None:
        """Stop one until others have done its work, then let it go on as a zombie."""
        frozen = self.random.choice(self.replicas)
        frozen.send(signal.SIGSTOP)
        try:
            await self._recovered("dispatcher frozen")
            await asyncio.sleep(max(0.0, FROZEN_SECONDS - self.felt["dispatcher frozen"][-1]))
        finally:
            frozen.send(signal.SIGCONT)

    async def run(self) -> None:
        """All losses, in any order, a moment apart."""
        losses: list[Callable[[], Awaitable[None]]] = [self.freeze_dispatcher]
        losses += [self.kill_dispatcher] * KILLS
        losses += [self.kill_broker] * (KILLS // 2)
        losses += [self.kill_functions] * (KILLS // 4)
        self.random.shuffle(losses)
        for lose in losses:
            await asyncio.sleep(self.random.uniform(0.1, 1.5))
            await lose()

    async def _recovered(self, loss: str) -> None:
        """Note how long it takes until each function gets an event that was not published yet."""
        began, sent = time.monotonic(), self.publisher.sent
        async with asyncio.timeout(MOST_RECOVERY_SECONDS):
            while min(self._latest()) < sent:  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.05)
        self.felt[loss].append(time.monotonic() - began)

    def _latest(self) -> list[int]:
        latest = self.functions.latest()
        return [latest.get(function, -1) for function in FUNCTIONS]


@asynccontextmanager
async def chaos() -> AsyncIterator[Chaos]:
    """A broker, functions, two replicas and the Triggers in force."""
    with tempfile.TemporaryDirectory(prefix="torpor-chaos-") as folder:
        async with nats_server(sync_interval="always") as nats, aiohttp.ClientSession() as session:
            functions = Functions(Path(folder))
            replicas = [
                EventsProcess(name, nats, functions.url, ACK_WAIT_SECONDS, Path(folder, "log"))
                for name in ("events-0", "events-1")
            ]
            urls = [replica.api_url for replica in replicas]
            publisher = Publisher(session, urls, PER_SECOND, EVENTS)
            try:
                await functions.start()
                for replica in replicas:
                    replica.start()
                for replica in replicas:
                    await replica.ready(session)
                for function, spec in SPECS.items():
                    await _subscribe(replicas[0], session, function, spec)
                yield Chaos(nats, functions, session, replicas, publisher)
            finally:
                for replica in replicas:
                    replica.kill()
                functions.kill()
                functions.calls.close()


async def _subscribe(
    replica: EventsProcess, session: aiohttp.ClientSession, name: str, spec: Mapping[str, Any]
) -> None:
    metadata = {"namespace": "shop", "name": name, "uid": f"uid-{name}", "generation": 1}
    whole = {
        "source": {"bus": {"name": "main"}},
        "filter": {"pattern": {"type": [name]}},
        "target": {"function": {"name": name}},
        **spec,
    }
    wanted = Wanted({"metadata": metadata, "spec": whole}, TargetFacts(True, 10.0, 0, 1, 1))
    await replica.standings(session).put(FunctionKey("shop", name), wanted)


async def test_killed_dispatchers_brokers_and_functions_lose_nothing(faults: Faults) -> None:
    async with chaos() as all_of_it, connected(all_of_it.nats.settings) as connection:
        publisher, functions = all_of_it.publisher, all_of_it.functions
        async with asyncio.TaskGroup() as tasks:
            _ = tasks.create_task(publisher.run(), name="publisher")
            await all_of_it.run()
            publisher.enough.set()
        began = time.monotonic()
        await _all_arrived(functions, publisher.sent)
        left_seconds = time.monotonic() - began
        dead = await Streams(connection).state(names.DEAD_STREAM)
        _report(all_of_it, left_seconds)

        for function in FUNCTIONS:
            arrived = set(functions.numbers(function))
            assert arrived == set(numbers_for(function, publisher.sent)), function
        assert dead is not None
        assert dead.messages == 0
        again = functions.numbers(ONCE).total() - len(functions.numbers(ONCE))
        assert again < publisher.twice, "only what was in flight at a loss is called again"
        effects = functions.effects(ONCE)
        assert len(effects) == len(numbers_for(ONCE, publisher.sent)), "one effect for each key"
        assert {len(numbers) for numbers in effects.values()} == {1}
        for key, numbers in functions.first_arrivals(ORDERED).items():
            assert numbers == sorted(numbers), f"order of key {key}"
        _tell(all_of_it, faults)


async def _all_arrived(functions: Functions, sent: int) -> None:
    """Wait until as many events came as were sent, for as long as more are coming."""
    deadline, before = time.monotonic() + DELIVERED_SECONDS, -1
    while (now := functions.distinct()) < sent and time.monotonic() < deadline:
        if now != before:
            deadline, before = time.monotonic() + 90, now
        await asyncio.sleep(0.2)


def _report(all_of_it: Chaos, left_seconds: float) -> None:
    publisher, functions = all_of_it.publisher, all_of_it.functions
    print(
        f"\nchaos: {publisher.sent} events and {publisher.twice} of the same idempotency key sent "
        f"({publisher.refused} requests sent again), {functions.distinct()} arrived; "
        f"the last {left_seconds:.1f} s after the last was sent"
    )
    for function in FUNCTIONS:
        counts: Counter[int] = functions.numbers(function)
        words = f"{counts.total() - len(counts)} of {counts.total()} calls repeated"
        print(f"  {function}: {words}, {len(functions.effects(function))} idempotency keys")


def _tell(all_of_it: Chaos, faults: Faults) -> None:
    """Tell of each loss; what it cost all of them together is told with the first."""
    publisher, functions = all_of_it.publisher, all_of_it.functions
    calls = sum(functions.numbers(function).total() for function in FUNCTIONS)
    lost = f"none of {publisher.sent} events; {calls - functions.distinct()} of {calls} calls again"
    for loss, seconds in sorted(all_of_it.felt.items()):
        found = sorted(seconds)
        back = f"back after {found[len(found) // 2]:.1f} s, at most {found[-1]:.1f} s"
        faults.add(loss, len(found), f"{lost}; {back}")
        lost = "nothing"
