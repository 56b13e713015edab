"""What `torpor dev` waits for at its end, and for how long."""

from __future__ import annotations

import asyncio
import logging

import pytest

from torpor.dev.ending import cancelled


async def _until(let_go: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await let_go.wait()


async def test_who_does_not_end_is_named_and_waited_for_no_longer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "torpor.dev.ending")
    at_once, late = asyncio.Event(), asyncio.Event()
    at_once.set()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        ends = group.create_task(_until(at_once), name="gateway")
        stays = group.create_task(_until(late), name="runs")
        await asyncio.sleep(0)
        await cancelled((ends, stays), 0.05)
        assert (ends.done(), stays.done()) == (True, False)
        late.set()
    [record] = caplog.records
    told = "not ended after 0.05 s: runs; Ctrl-C ends all processes at once"
    assert record.getMessage() == told


async def test_when_all_have_ended_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "torpor.dev.ending")
    task = asyncio.create_task(asyncio.Event().wait(), name="gateway")
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancelled([task], 60)
    assert task.cancelled()
    assert caplog.records == []
