"""What a source has seen: durable, in shards, and no more than it may be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.source_rig import KeptPositions, trigger
from torpor.resources.trigger import Trigger
from torpor.triggers.base import BrokerAway, SourceMisconfigured
from torpor.triggers.sources.known import MOST_KEYS, Known

OF = trigger({"storage": {"bucket": "photos"}})


async def loaded(positions: KeptPositions, scope: str = "a") -> Known:
    known = Known(OF, positions, scope)
    await known.load()
    return known


async def test_what_was_saved_is_there_again_and_only_what_changed_is_written() -> None:
    positions = KeptPositions()
    known = await loaded(positions)
    assert not known.begun
    for number in range(1000):
        known.put(f"key {number}", str(number))
    await known.save()
    known = await loaded(positions)
    assert known.begun
    assert {key: known.mark(key) for key in known} == {f"key {n}": str(n) for n in range(1000)}
    writes = positions.writes
    known.put("key 1", "1")
    known.put("key 2", "other")
    known.drop("key 2")
    await known.save()
    assert positions.writes == writes + 1
    assert len(await loaded(positions)) == 999


async def test_another_scope_knows_nothing_and_leaves_nothing() -> None:
    positions = KeptPositions()
    known = await loaded(positions)
    known.put("x", "1")
    await known.save()
    other = await loaded(positions, "b")
    assert (other.begun, len(other)) == (False, 0)
    await other.save()
    assert list(await loaded(positions, "b")) == []


class Slow(KeptPositions):
    """Something happens whenever a value is written."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    async def put(self, trigger: Trigger, name: str, value: bytes) -> None:
        self.meanwhile()
        await super().put(trigger, name, value)


async def test_what_is_changed_while_it_is_saved_is_saved_the_next_time() -> None:
    positions = Slow()
    known = await loaded(positions)
    await known.save()
    known.put("before", "1")
    positions.meanwhile = lambda: known.put("before", "2")
    await known.save()
    assert (await loaded(positions)).mark("before") == "1"
    await known.save()
    assert (await loaded(positions)).mark("before") == "2"


async def test_what_could_not_be_written_is_written_the_next_time() -> None:
    positions = Slow()
    known = await loaded(positions)
    known.put("x", "1")

    def away() -> None:
        raise BrokerAway("no")

    positions.meanwhile = away
    with pytest.raises(BrokerAway):
        await known.save()
    positions.meanwhile = lambda: None
    await known.save()
    assert (await loaded(positions)).mark("x") == "1"


async def test_there_is_a_limit() -> None:
    known = await loaded(KeptPositions())
    for number in range(MOST_KEYS):
        known.put(str(number), "1")
    known.put("1", "2")
    with pytest.raises(SourceMisconfigured, match="narrow the selection"):
        known.put("one more", "1")
    known.drop("1")
    known.put("one more", "1")
    assert len(known) == MOST_KEYS
