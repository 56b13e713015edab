"""Payloads and results of calls share a bounded memory: those are sent back, these wait."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.virtual_time import run
from torpor.gateway.lambda_api.errors import MOST_BYTES, Later
from torpor.gateway.lambda_api.memory import EACH_BYTES, WAIT_SECONDS, Memory

ROOM = (MOST_BYTES + 80 * 1024) * 4 // 3
"""For one payload of the longest, and the quarter that is kept for results."""


def fits(memory: Memory, payload_bytes: int | None) -> bool:
    try:
        with memory.taken(payload_bytes):
            return True
    except Later:
        return False


def test_a_payload_has_its_room_until_its_call_ends() -> None:
    memory = Memory(ROOM)
    with memory.taken(MOST_BYTES):
        assert not fits(memory, MOST_BYTES)
        assert fits(memory, 1024)
    assert fits(memory, MOST_BYTES)


def test_what_does_not_fit_is_told_as_on_lambda() -> None:
    with pytest.raises(Later) as refused, Memory(0).taken(1):
        pytest.fail("there is no room at all")
    assert (refused.value.code, refused.value.status) == ("TooManyRequestsException", 429)
    assert refused.value.reason == "ConcurrentInvocationLimitExceeded"


def test_one_of_unknown_length_counts_as_the_longest() -> None:
    memory = Memory(ROOM)
    with memory.taken(None):
        assert not fits(memory, 64 * 1024)
    assert fits(memory, 10 * MOST_BYTES)


def test_a_call_that_failed_gives_its_room_back() -> None:
    memory = Memory(ROOM)
    with pytest.raises(RuntimeError), memory.taken(MOST_BYTES):
        raise RuntimeError
    assert fits(memory, MOST_BYTES)


def test_payloads_leave_room_for_results() -> None:
    async def results() -> None:
        memory = Memory(400 * 1024)
        with memory.taken(300 * 1024 - EACH_BYTES) as room:
            assert not fits(memory, 0)
            await room.more(100 * 1024)

    run(results())


def test_a_result_waits_until_another_is_sent() -> None:
    async def results() -> list[str]:
        memory, seen = Memory(1000 * 1024), []

        async def call(name: str, size_bytes: int, seconds: float) -> None:
            with memory.taken(0) as room:
                await room.more(size_bytes)
                seen.append(name)
                await asyncio.sleep(seconds)
                room.less(size_bytes // 2)
                await asyncio.sleep(seconds)

        async with asyncio.TaskGroup() as calls:
            calls.create_task(call("first", 600 * 1024, 5))
            await asyncio.sleep(1)
            leaves = calls.create_task(call("leaves", 600 * 1024, 1))
            await asyncio.sleep(1)
            calls.create_task(call("after it", 100 * 1024, 1))
            await asyncio.sleep(1)
            assert seen == ["first"]
            leaves.cancel()
        assert fits(memory, 750 * 1024 - EACH_BYTES), "all of it is free again"
        return seen

    assert run(results()) == ["first", "after it"]


def test_a_result_that_finds_no_room_says_that_the_function_was_called() -> None:
    async def waits() -> float:
        memory, clock = Memory(400 * 1024), asyncio.get_running_loop().time
        began = clock()
        with memory.taken(0) as room:
            with pytest.raises(Later, match="may have been called") as refused:
                await room.more(MOST_BYTES)
            assert (refused.value.code, refused.value.status) == ("ServiceException", 503)
        assert fits(memory, 300 * 1024 - EACH_BYTES)
        return clock() - began

    assert run(waits()) == pytest.approx(WAIT_SECONDS)
