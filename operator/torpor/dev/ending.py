"""How `torpor dev` ends on a signal: the first lets requests finish, a second Ctrl-C does not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Collection
from typing import Any

from rich.console import Console

log = logging.getLogger(__name__)

DRAINING = (signal.SIGTERM, signal.SIGHUP)
"""End after the requests in flight, however often they come; SIGINT does so only once."""


class Ending:
    """Waits for the signal to end. `requests` counts those inside, `at_once` ends everything."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._asked = asyncio.Event()
        self._requests: Callable[[], int] = lambda: 0
        self._at_once: Callable[[], None] = lambda: None
        self.interrupted = False

    def listen(self, requests: Callable[[], int], at_once: Callable[[], None]) -> None:
        """Take the signals from now on, in place of what Python does on them."""
        self._requests, self._at_once = requests, at_once
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        for number in DRAINING:
            loop.add_signal_handler(number, self._drain)

    async def wait(self) -> None:
        """Return once the end was asked for."""
        await self._asked.wait()

    def _interrupt(self) -> None:
        if self._asked.is_set():
            self.interrupted = True
            self._at_once()
            return
        self._drain()

    def _drain(self) -> None:
        if self._asked.is_set():
            return
        self._asked.set()
        count = self._requests()
        waits = f"waiting for {count} request{'s'[: count != 1]} in flight" if count else "ending"
        with contextlib.suppress(OSError):  # after SIGHUP there may be no terminal
            text = f"torpor: {waits}; Ctrl-C ends at once"
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


async def cancelled(tasks: Collection[asyncio.Task[Any]], seconds: float) -> None:
    """Cancel the tasks and wait until all have ended, at most so long: who has not is told."""
    for task in tasks:
        task.cancel()
    _, late = await asyncio.wait(tasks, timeout=seconds)
    if late:
        names = ", ".join(sorted(task.get_name() for task in late))
        log.warning("not ended after %g s: %s; Ctrl-C ends all processes at once", seconds, names)
