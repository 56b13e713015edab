"""One holder at a time, among processes that are stopped, killed, frozen and cut off."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.servers.lease_holder import KEY, TIMING
from tests.support.servers.nats import broker, nats_server, needs_nats
from torpor.triggers.broker.embedded import EmbeddedNats
from torpor.triggers.broker.kv import Bucket
from torpor.triggers.broker.leases import LeaseLost, Leases

pytestmark = needs_nats
_ROOT = Path(__file__).parents[2]


class Holder:
    """A process that wants the lease."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def said(self, word: str, seconds: float = 15) -> float:
        """Wait until it says `word`; return when it did so."""
        assert self.process.stdout is not None
        async with asyncio.timeout(seconds):
            line = (await self.process.stdout.readline()).decode().split()
        assert line[:1] == [word]
        return float(line[1])


@contextlib.asynccontextmanager
async def holder(server: EmbeddedNats, identity: str) -> AsyncIterator[Holder]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.servers.lease_holder"),
        *(server.url, server.token, identity),
        stdout=asyncio.subprocess.PIPE,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        yield Holder(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_stopped_holder_gives_the_lease_to_the_next_at_once() -> None:
    async with nats_server() as server, holder(server, "a") as first:
        await first.said("held")
        async with holder(server, "b") as second:
            first.process.send_signal(signal.SIGTERM)
            released = await first.said("released")
            taken = await second.said("held")
            assert taken > released - 0.2
            assert taken - released < TIMING.live


async def test_a_killed_holder_is_followed_within_the_time_to_live() -> None:
    async with nats_server() as server, holder(server, "a") as first:
        await first.said("held")
        async with holder(server, "b") as second:
            await asyncio.sleep(TIMING.renew * 1.5)
            killed = time.monotonic()
            first.process.kill()
            taken = await second.said("held")
            assert taken - killed <= TIMING.live + 3 * TIMING.retry + 0.3


async def test_a_frozen_holder_has_stopped_before_another_begins() -> None:
    async with nats_server() as server, holder(server, "a") as first:
        await first.said("held")
        async with holder(server, "b") as second:
            first.process.send_signal(signal.SIGSTOP)
            await second.said("held")
            first.process.send_signal(signal.SIGCONT)
            await first.said("lost")


async def test_a_holder_that_cannot_renew_stops_before_the_lease_ends() -> None:
    async with nats_server() as server, holder(server, "a") as first:
        held = await first.said("held")
        os.kill(server.pid or 0, signal.SIGSTOP)
        try:
            lost = await first.said("lost")
        finally:
            os.kill(server.pid or 0, signal.SIGCONT)
        assert lost - held < TIMING.live


async def test_a_lease_lives_through_a_restart_of_the_broker() -> None:
    async with broker() as at:
        leases = Leases(at.connection, "a", clock=time.monotonic)
        async with leases.held(KEY):
            at.server.kill()
            await asyncio.to_thread(at.server.start)
            assert await leases.holder(KEY) == "a"
        assert await leases.holder(KEY) is None


async def test_a_holder_whose_key_is_somebody_elses_stops() -> None:
    async with broker() as at:
        leases = Leases(at.connection, "a", clock=time.monotonic, timing=TIMING)
        bucket = Bucket(at.connection, "torpor_leases", TIMING.live)

        async def hold_and_be_robbed() -> None:
            async with leases.held(KEY), asyncio.timeout(10):
                await bucket.put(KEY, b"intruder 1")
                await asyncio.Event().wait()

        with pytest.raises(LeaseLost, match="somebody else"):
            await hold_and_be_robbed()
