"""How the process of a role is told to end."""

from __future__ import annotations

import asyncio
import signal


def told_to_end() -> asyncio.Event:
    """Return what SIGTERM or SIGINT sets, from now on, in the loop that runs."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told
