"""Takes servers out of HAProxy once they are empty, and lets others have slots that are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from torpor.errors import DataPlaneError
from torpor.gateway.dataplane.haproxy import stats
from torpor.gateway.dataplane.haproxy.commands import Commands
from torpor.gateway.dataplane.haproxy.model import Model
from torpor.gateway.dataplane.haproxy.slots import Slot
from torpor.gateway.dataplane.haproxy.steps import Step, cut_server, remove_server
from torpor.telemetry.metrics import SLOTS_USED

_REAP_SECONDS = 0.1

_log = logging.getLogger(__name__)


class Reaper:
    """Looks every tenth of a second while anything is leaving; `wake` says that it may be so."""

    def __init__(
        self, model: Model, commands: Commands, lock: asyncio.Lock, clock: Callable[[], float]
    ) -> None:
        self._model = model
        self._commands = commands
        self._lock = lock
        self._clock = clock
        self._leftovers = asyncio.Event()

    def wake(self) -> None:
        """Look again: a server may be leaving, or a slot given back."""
        self._leftovers.set()

    async def run(self) -> None:
        """Reap until cancelled."""
        while True:
            await self._leftovers.wait()
            await asyncio.sleep(_REAP_SECONDS)
            async with self._lock:
                try:
                    if not await self._reap():
                        self._leftovers.clear()
                except DataPlaneError as error:
                    # A new HAProxy begins without leftovers; else the next round tries again.
                    _log.info("servers could not be removed yet: %s", error)
            SLOTS_USED.set(len(self._model.slots))

    async def _reap(self) -> bool:
        busy = self._model.busy()
        answers = await self._commands.ask([stats.command(slot.name) for _, slot in busy])
        steps: list[Step] = []
        for (owner, slot), answer in zip(busy, answers, strict=True):
            seen = stats.parse(answer)
            if seen is None:
                continue
            slot.total = seen.total
            steps.extend(self._removals(slot, seen))
            if slot.is_free(seen.current, self._clock()):
                self._model.release(owner)
        # A server that a connection still hangs on is refused, and asked for again.
        await self._commands.attempt(steps)
        return bool(busy)

    def _removals(self, slot: Slot, seen: stats.BackendStats) -> list[Step]:
        steps: list[Step] = []
        for member in slot.leaving():
            overdue = member.deadline is not None and self._clock() > member.deadline
            if overdue:
                steps.append(cut_server(slot, member))
            if overdue or seen.in_flight.get(member.row, 0) == 0:
                steps.extend(remove_server(slot, member))
        return steps
