"""Buckets against a real broker: creation, changes that depend on a revision, time to live."""

from __future__ import annotations

import pytest

from tests.support.servers.nats import broker, needs_nats, until
from torpor.triggers.broker.errors import WrongRevision
from torpor.triggers.broker.kv import Bucket, Entry
from torpor.triggers.broker.names import InvalidName

pytestmark = needs_nats


async def test_a_key_is_made_once_changed_by_revision_and_made_again_after_its_deletion() -> None:
    async with broker() as at:
        bucket = Bucket(at.connection, "test_kv")
        assert await bucket.get("a.b") is None
        first = await bucket.create("a.b", b"1")
        with pytest.raises(WrongRevision):
            await bucket.create("a.b", b"2")
        second = await bucket.update("a.b", b"2", first)
        with pytest.raises(WrongRevision):
            await bucket.update("a.b", b"3", first)
        with pytest.raises(WrongRevision):
            await bucket.delete("a.b", first)
        assert await bucket.get("a.b") == Entry("a.b", b"2", second)
        await bucket.delete("a.b", second)
        assert await bucket.get("a.b") is None
        assert await bucket.entries() == []
        third = await bucket.create("a.b", b"")
        assert await bucket.get("a.b") == Entry("a.b", b"", third)


async def test_values_vanish_after_their_time_to_live_and_a_new_one_can_be_made() -> None:
    async with broker() as at:
        bucket = Bucket(at.connection, "test_ttl", ttl_seconds=0.5)
        await bucket.create("a", b"1")

        async def gone() -> bool:
            return await bucket.get("a") is None

        await until(gone, 5)
        await bucket.create("a", b"2")
        assert await bucket.keys() == ["a"]


async def test_a_buckets_time_to_live_is_brought_up_to_date() -> None:
    async with broker() as at:
        await Bucket(at.connection, "test_ttl").put("a", b"1")
        bucket = Bucket(at.connection, "test_ttl", ttl_seconds=0.5)

        async def gone() -> bool:
            return await bucket.get("a") is None

        await until(gone, 5)


async def test_a_purged_key_leaves_nothing() -> None:
    async with broker() as at:
        bucket = Bucket(at.connection, "test_kv")
        await bucket.put("a", b"1")
        await bucket.put("b", b"1")
        await bucket.purge("a")
        assert await bucket.keys() == ["b"]


@pytest.mark.parametrize("key", ["", "a b", "a.*", ">", ".a", "a.", "a..b", "ключ"])
async def test_a_key_that_would_be_a_wildcard_or_nothing_is_refused(key: str) -> None:
    async with broker() as at:
        with pytest.raises(InvalidName):
            await Bucket(at.connection, "test_kv").put(key, b"1")
