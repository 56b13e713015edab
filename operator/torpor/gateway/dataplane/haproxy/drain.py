"""How HAProxy comes to its end: its public doors close, and what came in before goes on.

HAProxy is not told to stop (SIGUSR1): it would close its runtime API and the door `again` at once,
and then no request that waits for its function to wake could be let through.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from torpor.errors import DataPlaneError
from torpor.gateway.dataplane.haproxy import stats
from torpor.gateway.dataplane.haproxy.commands import Commands

_log = logging.getLogger(__name__)

DOORS = ("in", "peer")
"""The doors for others; `again` stays open for what is inside."""
_POLL_SECONDS = 0.05


class Drain:
    """The end of one HAProxy; `up` says whether it runs."""

    def __init__(self, commands: Commands, up: Callable[[], bool]) -> None:
        self._commands = commands
        self._up = up

    async def close_doors(self) -> None:
        """Take no new connection, and close each open one with its next answer."""
        if not self._up():
            return
        try:
            await self._commands.ask([f"shutdown frontend {door}" for door in DOORS])
        except DataPlaneError as error:
            _log.warning("HAProxy did not close its doors: %s", error)

    async def until_empty(self, seconds: float) -> bool:
        """Return whether all connections of clients and gateways ended within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while self._up() and await self._is_occupied():  # noqa: ASYNC110 - asked, not told
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            return False
        return True

    async def _is_occupied(self) -> bool:
        try:
            rows = await self._commands.ask([f"show stat {door} 1 -1" for door in DOORS])
        except DataPlaneError:
            # Nothing is known: it is asked again while HAProxy runs.
            return True
        return any(map(stats.connections, rows))
