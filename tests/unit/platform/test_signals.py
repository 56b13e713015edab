"""A role ends by the signals of the kubelet and of a terminal."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from torpor.platform.signals import told_to_end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_tells_it_and_ends_nothing_by_itself(number: signal.Signals) -> None:
    told = told_to_end()
    assert not told.is_set()
    os.kill(os.getpid(), number)
    try:
        await asyncio.wait_for(told.wait(), 5)
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(each)
