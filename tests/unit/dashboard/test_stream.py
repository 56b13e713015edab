"""What readers of the stream are sent, in virtual time, and what nobody looking costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import orjson
import pytest

from tests.support.virtual_time import run as run_virtual
from torpor.dashboard.model import Snapshot
from torpor.dashboard.stream import COMMENT, COMMENT_SECONDS, MOST_READERS, Stream, TooManyReaders

T = TypeVar("T")
PERIOD_SECONDS = 1.0


class Place:
    """Something to look at: `text` is what changes."""

    def __init__(self) -> None:
        self.text = "0"
        self.looks = 0

    async def look(self) -> Snapshot:
        self.looks += 1
        return Snapshot(at=float(self.looks), place=self.text)


def played(story: Callable[[Place, Stream], Awaitable[T]]) -> T:
    """Run a story with a stream that runs, in virtual time."""

    async def whole() -> T:
        place = Place()
        stream = Stream(place.look, PERIOD_SECONDS)
        running = asyncio.create_task(stream.run(), name="stream")
        try:
            return await story(place, stream)
        finally:
            running.cancel()

    return run_virtual(whole())


async def told(events: AsyncIterator[bytes]) -> str:
    """The `place` of the next snapshot, past comments."""
    async for event in events:
        if event != COMMENT:
            assert event.startswith(b"data: ")
            assert event.endswith(b"\n\n")
            return str(orjson.loads(event.removeprefix(b"data: "))["place"])
    raise AssertionError("the stream ended")


def test_nobody_looks_so_nothing_is_looked_at() -> None:
    async def story(place: Place, stream: Stream) -> tuple[int, int, int]:
        await asyncio.sleep(3600)
        before = place.looks
        with stream.reading() as reader:
            await told(reader.events())
        watched = place.looks
        await asyncio.sleep(3600)
        return before, watched, place.looks

    assert played(story) == (0, 1, 1)


def test_changes_come_in_order_and_what_is_the_same_is_not_sent_again() -> None:
    async def story(place: Place, stream: Stream) -> list[str]:
        with stream.reading() as reader:
            events = reader.events()
            found = [await told(events)]
            await asyncio.sleep(5)  # looks that find nothing new
            for text in ("1", "2"):
                place.text = text
                found.append(await told(events))
            return found

    assert played(story) == ["0", "1", "2"]


def test_a_slow_reader_skips_and_keeps_nobody_waiting() -> None:
    async def story(place: Place, stream: Stream) -> tuple[list[str], str]:
        with stream.reading() as quick, stream.reading() as slow:
            events, late = quick.events(), slow.events()
            await told(late)
            found = [await told(events)]
            for number in range(1, 4):
                place.text = str(number)
                found.append(await told(events))
            return found, await told(late)

    assert played(story) == (["0", "1", "2", "3"], "3")


def test_who_comes_later_sees_at_once_what_others_see() -> None:
    async def story(place: Place, stream: Stream) -> tuple[str, int, str, int]:
        with stream.reading() as first:
            await told(first.events())
            with stream.reading() as second:
                both = await told(second.events()), place.looks
        place.text = "changed while nobody looked"
        await asyncio.sleep(100)
        with stream.reading() as third:
            return *both, await told(third.events()), place.looks

    assert played(story) == ("0", 1, "changed while nobody looked", 2)


def test_silence_is_broken_by_comments() -> None:
    async def story(_: Place, stream: Stream) -> tuple[bytes, float]:
        with stream.reading() as reader:
            events = reader.events()
            await told(events)
            since = asyncio.get_running_loop().time()
            return await anext(events), asyncio.get_running_loop().time() - since

    assert played(story) == (COMMENT, COMMENT_SECONDS)


def test_what_a_program_told_does_not_end_the_stream() -> None:
    async def story(place: Place, stream: Stream) -> list[str]:
        with stream.reading() as reader:
            events = reader.events()
            place.text = "half a pair: \ud83d"
            found = [await told(events)]
            place.text = "1"
            return [*found, await told(events)]

    assert played(story) == ["half a pair: ?", "1"]


def test_so_many_may_watch_and_no_more() -> None:
    async def story(_: Place, stream: Stream) -> None:
        readers = [stream.reading() for _ in range(MOST_READERS)]
        for reader in readers:
            reader.__enter__()
        with pytest.raises(TooManyReaders, match="64 watch already"), stream.reading():
            pass
        readers[0].__exit__(None, None, None)
        with stream.reading() as one:
            assert await told(one.events()) == "0"

    played(story)
