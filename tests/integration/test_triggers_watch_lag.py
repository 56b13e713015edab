"""A watch whose broker comes back with less than it had, as a replica does that is behind."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.servers.nats import needs_nats
from torpor.triggers.broker import watching
from torpor.triggers.broker.connection import Connection, connected
from torpor.triggers.broker.embedded import EmbeddedNats, running
from torpor.triggers.broker.kv import Bucket, Entry
from torpor.triggers.broker.watching import watch

pytestmark = needs_nats


@dataclass
class Store:
    """A server whose data can be put back to what it was."""

    server: EmbeddedNats
    folder: Path
    connection: Connection

    async def save(self, name: str) -> None:
        """Keep the data as it is now, under a name."""
        await asyncio.to_thread(self.server.stop)
        shutil.copytree(self.folder / "data", self.folder / name)
        await asyncio.to_thread(self.server.start)

    async def put_back(self, name: str) -> None:
        """Have the server hold what it held then."""
        await asyncio.to_thread(self.server.stop)
        shutil.rmtree(self.folder / "data")
        shutil.copytree(self.folder / name, self.folder / "data")
        await asyncio.to_thread(self.server.start)


@asynccontextmanager
async def store(folder: Path) -> AsyncIterator[Store]:
    with running(folder) as server:
        async with connected(server.settings) as connection:
            yield Store(server, folder, connection)


async def test_what_a_broker_behind_does_not_know_yet_is_not_taken_for_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_DOUBTS", 1000)
    async with store(tmp_path) as at:
        bucket = Bucket(at.connection, "test_watched")
        await bucket.put("a", b"1")
        await at.save("behind")
        await bucket.put("b", b"2")
        await at.save("ahead")
        lists = watch(at.connection, bucket)
        assert [entry.key for entry in await anext(lists)] == ["a", "b"]
        following = asyncio.create_task(anext(lists))
        await at.put_back("behind")
        await asyncio.sleep(2)
        await at.put_back("ahead")
        third = await bucket.put("c", b"3")
        async with asyncio.timeout(20):
            assert await following == [Entry("c", b"3", third)]
        await lists.aclose()


async def test_what_stays_away_was_deleted(tmp_path: Path) -> None:
    async with store(tmp_path) as at:
        bucket = Bucket(at.connection, "test_watched")
        await bucket.put("a", b"1")
        await at.save("before")
        second = await bucket.put("b", b"2")
        lists = watch(at.connection, bucket)
        assert [entry.key for entry in await anext(lists)] == ["a", "b"]
        following = asyncio.create_task(anext(lists))
        await at.put_back("before")
        async with asyncio.timeout(30):
            assert await following == [Entry("b", None, second)]
        await lists.aclose()
