"""Order by key while the one dispatcher, and the broker with it, are killed again and again.

Nothing is lost. What was under way may come once more, before anything newer of its key does from
the dispatcher that took over, and never behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import defaultdict
from collections.abc import Sequence
from random import Random

import aiohttp
import orjson
import pytest

from tests.chaos.report import Faults
from tests.support.servers.events import EventsProcess
from tests.support.servers.function import Call, functions
from tests.support.servers.nats import nats_server, needs_nats
from torpor.resources.names import FunctionKey
from torpor.triggers.standings import TargetFacts, Wanted

pytestmark = [needs_nats, pytest.mark.timeout(300)]

KILLS = 10
KEYS = 7
BATCH = 350
"""More than a dispatcher delivers until it is killed."""
FACTS = TargetFacts(True, 10.0, 0, 1, 1)
SPEC = {
    "source": {"bus": {"name": "main"}},
    "target": {"function": {"name": "handler"}},
    "ordering": {"key": "data.key"},
}


class Publisher:
    """Publishes numbered events in order; what got no good answer again, under the same ids."""

    def __init__(self, session: aiohttp.ClientSession, replica: EventsProcess) -> None:
        self._session = session
        self._url = f"{replica.api_url}/v1/namespaces/shop/buses/main/events"
        self.sent = 0
        self.sending = asyncio.Event()
        self.enough = asyncio.Event()

    async def run(self) -> None:
        while not self.enough.is_set():
            self.sending.set()
            await self._batch(orjson.dumps([_event(self.sent + n) for n in range(BATCH)]))
            self.sent += BATCH
            await asyncio.sleep(0.5)

    async def _batch(self, body: bytes) -> None:
        headers = {"Content-Type": "application/cloudevents-batch+json"}
        limit = aiohttp.ClientTimeout(total=5)
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self._session.post(
                    self._url, data=body, headers=headers, timeout=limit
                ) as answer:
                    if answer.status == 202:
                        return
            await asyncio.sleep(0.1)


def _event(number: int) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": str(number),
        "source": "/order",
        "type": "made",
        "data": {"n": number, "key": number % KEYS},
    }


async def _work(_: Call) -> int:
    await asyncio.sleep(0.005)
    return 200


async def test_what_is_done_never_comes_again_behind_what_is_newer(faults: Faults) -> None:
    random = Random(7)
    epochs = [0]
    """How many calls there were when each dispatcher began."""
    async with (
        nats_server() as nats,
        aiohttp.ClientSession() as session,
        functions(_work) as to,
    ):
        replica = EventsProcess("events", nats, to.url, ack_wait_seconds=2)
        publisher = Publisher(session, replica)
        replica.start()
        try:
            await replica.ready(session)
            await _subscribe(replica, session)
            publishing = asyncio.create_task(publisher.run(), name="publisher")
            for round_number in range(KILLS):
                publisher.sending.clear()
                async with asyncio.timeout(60):
                    await publisher.sending.wait()
                await asyncio.sleep(random.uniform(0.02, 0.2))
                if round_number % 3:
                    nats.kill()
                replica.kill()
                if round_number % 3:
                    await asyncio.to_thread(nats.start)
                await asyncio.sleep(0.1)  # what the dead one had sent is read by now
                epochs.append(len(to.calls))
                replica.start()
                await replica.ready(session)
            publisher.enough.set()
            await publishing
            await _all_came(to.calls, publisher.sent)
        finally:
            publisher.enough.set()
            replica.kill()
        numbers = [int(name) for name in to.ids]
        again = len(numbers) - len(set(numbers))
        assert set(numbers) == set(range(publisher.sent))
        for begin, end in itertools.pairwise([*epochs, len(numbers)]):
            for key, found in _by_key(numbers[begin:end]).items():
                assert found == sorted(found), f"key {key}, of the calls from {begin}"
        lost = f"none of {publisher.sent} events, nor their order; {again} came again"
        faults.add("dispatcher killed in order by key, and the broker too", KILLS, lost)


def _by_key(numbers: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for number in numbers:
        found[number % KEYS].append(number)
    return found


async def _subscribe(replica: EventsProcess, session: aiohttp.ClientSession) -> None:
    metadata = {"namespace": "shop", "name": "orders", "uid": "uid-orders", "generation": 1}
    wanted = Wanted({"metadata": metadata, "spec": SPEC}, FACTS)
    await replica.standings(session).put(FunctionKey("shop", "orders"), wanted)


async def _all_came(calls: Sequence[Call], sent: int) -> None:
    """Wait until all events came, for as long as more are coming."""
    loop = asyncio.get_running_loop()
    before, deadline = -1, 0.0
    while len({call.headers["ce-id"] for call in calls}) < sent:
        if len(calls) != before:
            before, deadline = len(calls), loop.time() + 20
        assert loop.time() < deadline, "no more are coming"
        await asyncio.sleep(0.2)
