"""Which shards this engine runs: claimed by lease, shared fairly, given up in order.

The lease only says who should run a shard. That two engines cannot write the same execution is the
fence's doing: every commit carries the epoch that the claim gave.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Sequence

from torpor.telemetry.metrics import WORKFLOW_FENCED, WORKFLOW_SHARDS
from torpor.workflows.ledger.base import Ledger, LedgerAway, Owned

log = logging.getLogger(__name__)

_LOADED_AT_ONCE = 64
"""Shards whose executions are read in one go."""


class Ownership:
    """The shards that are this engine's.

    `taken` loads their executions, beside the renewal of the leases: however long it takes, they do
    not run out. `lost` drops them. `busy` tells which shards have a task in flight: another engine
    would have to do it again, so only the other shards are given up, those soon after.
    """

    def __init__(
        self,
        ledger: Ledger,
        owner: str,
        lease_seconds: float,
        taken: Callable[[Sequence[Owned]], Awaitable[None]],
        lost: Callable[[Owned], None],
        busy: Callable[[], Collection[int]],
    ) -> None:
        self._ledger = ledger
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._taken = taken
        self._lost = lost
        self._busy = busy
        self._owned: dict[int, Owned] = {}
        self._loads: set[asyncio.Task[None]] = set()
        self.engines = 1
        """Engines alive at the last look, this one among them."""
        self.away: str | None = None
        """Why the ledger did not answer at the last look, None when it did."""

    @property
    def owned(self) -> tuple[Owned, ...]:
        """The shards owned now."""
        return tuple(self._owned.values())

    def get(self, shard: int) -> Owned | None:
        """The shard when it is owned."""
        return self._owned.get(shard)

    def holds(self, owned: Owned) -> bool:
        """Whether this very claim of a shard still stands."""
        return self._owned.get(owned.shard) == owned

    async def run(self) -> None:
        """Claim, renew and share until cancelled."""
        try:
            while True:
                try:
                    await self.tick()
                    self.away = None
                except LedgerAway as error:
                    if self.away is None:
                        log.warning("no ledger", extra={"fields": {"problem": str(error)}})
                    self.away = str(error)
                await asyncio.sleep(self._lease_seconds / 5)
        finally:
            for load in self._loads:
                load.cancel()
            await asyncio.gather(*self._loads, return_exceptions=True)

    async def tick(self) -> None:
        """Renew the leases, then come closer to a fair share."""
        await self._renew()
        owners = await self._ledger.owners()
        self.engines = max(1, len({*owners, self._owner}))
        share = math.ceil(self._ledger.shards / self.engines)
        if len(self._owned) > share:
            await self._give_up(len(self._owned) - share)
        elif len(self._owned) < share:
            await self._claim(share - len(self._owned))
        WORKFLOW_SHARDS.set(len(self._owned))

    def fenced(self, owned: Owned) -> None:
        """A commit was refused: the shard is another engine's."""
        if self.holds(owned):
            WORKFLOW_FENCED.inc()
            self._drop(owned)

    async def release(self) -> None:
        """Give every shard up, so that other engines can take them at once."""
        given = self.owned
        for owned in given:
            self._drop(owned)
        await self._ledger.release(self._owner, given)
        # Alive for no more seconds: others need not wait for this engine to take their fair share.
        await self._ledger.renew(self._owner, (), 0.0)

    async def _renew(self) -> None:
        asked = self.owned
        kept = set(await self._ledger.renew(self._owner, asked, self._lease_seconds))
        for owned in asked:
            if owned not in kept:
                self._drop(owned)

    async def _claim(self, most: int) -> None:
        claimed = await self._ledger.claim(self._owner, most, self._lease_seconds)
        if not claimed:
            return
        for owned in claimed:
            self._owned[owned.shard] = owned
        load = asyncio.create_task(self._load(claimed), name="load shards")
        self._loads.add(load)
        load.add_done_callback(self._loads.discard)

    async def _load(self, claimed: Sequence[Owned]) -> None:
        for at in range(0, len(claimed), _LOADED_AT_ONCE):
            part = [one for one in claimed[at : at + _LOADED_AT_ONCE] if self.holds(one)]
            try:
                await self._taken(part)
            except Exception as error:
                if not isinstance(error, LedgerAway):
                    log.exception("shards cannot be loaded")
                for owned in claimed[at:]:
                    self._drop(owned)  # nobody's until the lease runs out; then it is loaded whole
                return
        log.info("shards taken", extra={"fields": {"taken": len(claimed)}})

    async def _give_up(self, excess: int) -> None:
        busy = self._busy()
        given = [owned for owned in self.owned if owned.shard not in busy][:excess]
        if not given:
            return
        for owned in given:
            self._drop(owned)
        await self._ledger.release(self._owner, given)
        log.info("shards given up", extra={"fields": {"given": len(given)}})

    def _drop(self, owned: Owned) -> None:
        if self.holds(owned):
            del self._owned[owned.shard]
            self._lost(owned)
