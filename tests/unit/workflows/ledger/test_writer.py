"""Group commit: who is written together, in which order, and who gets which error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from torpor.workflows.ledger.base import Fenced, LedgerAway
from torpor.workflows.ledger.writer import MOST_BYTES, Flush, GroupWriter


class Disk:
    """Takes groups when it is let; remembers them."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.busy = asyncio.Event()

    async def flush(self, group: Sequence[str]) -> Sequence[Exception | None]:
        self.busy.set()
        await self.gate.wait()
        self.groups.append(list(group))
        if "away" in group:
            raise LedgerAway("gone")
        return [Fenced(one) if one == "fenced" else None for one in group]


@asynccontextmanager
async def writing(flush: Flush[str], most: int = 200) -> AsyncIterator[GroupWriter[str]]:
    writer = GroupWriter[str]("test", flush, most=most)
    writer.start()
    try:
        yield writer
    finally:
        await writer.stop()


async def test_what_comes_while_a_group_is_written_is_the_next_group() -> None:
    disk = Disk()
    async with writing(disk.flush, most=3) as writer, asyncio.timeout(10):
        disk.gate.clear()
        first = asyncio.ensure_future(writer.write("a", "a", 1))
        await disk.busy.wait()
        others = [asyncio.ensure_future(writer.write(one, one, 1)) for one in "bcdef"]
        await asyncio.sleep(0)
        disk.gate.set()
        await asyncio.gather(first, *others)
    assert disk.groups == [["a"], ["b", "c", "d"], ["e", "f"]]


async def test_writes_of_one_key_are_in_different_groups_and_in_order() -> None:
    disk = Disk()
    async with writing(disk.flush) as writer, asyncio.timeout(10):
        await asyncio.gather(*(writer.write(f"{key}{n}", key, 1) for n in range(3) for key in "xy"))
    assert disk.groups == [["x0", "y0"], ["x1", "y1"], ["x2", "y2"]]


async def test_large_writes_do_not_pile_up_in_one_group() -> None:
    disk = Disk()
    async with writing(disk.flush) as writer, asyncio.timeout(10):
        await asyncio.gather(*(writer.write(one, one, MOST_BYTES) for one in "abc"))
    assert disk.groups == [["a"], ["b"], ["c"]]


async def test_an_error_of_one_write_is_its_own_and_one_of_the_group_is_everybodys() -> None:
    disk = Disk()
    async with writing(disk.flush) as writer, asyncio.timeout(10):
        one, two = await asyncio.gather(
            writer.write("fenced", 1, 1), writer.write("fine", 2, 1), return_exceptions=True
        )
        assert isinstance(one, Fenced)
        assert two is None
        both = await asyncio.gather(
            writer.write("away", 1, 1), writer.write("fine", 2, 1), return_exceptions=True
        )
        assert all(isinstance(error, LedgerAway) for error in both)
        await writer.write("after", 1, 1)


async def test_who_waits_when_the_writer_stops_is_told() -> None:
    disk = Disk()
    disk.gate.clear()
    writer = GroupWriter[str]("test", disk.flush, most=1)
    writer.start()
    waiting = [asyncio.ensure_future(writer.write(one, one, 1)) for one in "ab"]
    await disk.busy.wait()
    await writer.stop()
    for one in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(one, LedgerAway)
    with pytest.raises(LedgerAway):
        await writer.write("late", "late", 1)


async def test_who_stops_waiting_does_not_disturb_the_group() -> None:
    disk = Disk()
    async with writing(disk.flush) as writer, asyncio.timeout(10):
        disk.gate.clear()
        one = asyncio.ensure_future(writer.write("one", 1, 1))
        two = asyncio.ensure_future(writer.write("two", 2, 1))
        await disk.busy.wait()
        one.cancel()
        disk.gate.set()
        await two
    assert disk.groups == [["one", "two"]]
