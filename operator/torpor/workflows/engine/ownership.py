"""Which shards this engine runs: claimed by lease, shared fairly, given up in order.

The lease only says who should run a shard. That two engines cannot write the same execution is the
fence's doing: every commit carries the epoch that the claim gave.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence

from torpor.telemetry.metrics import WORKFLOW_FENCED, WORKFLOW_SHARDS
from torpor.workflows.ledger.base import Ledger, LedgerAway, Owned

log = logging.getLogger(__name__)


class Ownership:
    """The shards that are this engine's.

    `taken` loads their executions, `lost` drops them, `busy` says how many a shard has in memory:
    quiet shards are given up first.
    """

    def __init__(
        self,
        ledger: Ledger,
        owner: str,
        lease_seconds: float,
        taken: Callable[[Sequence[Owned]], Awaitable[None]],
        lost: Callable[[Owned], None],
        busy: Callable[[int], int],
    ) -> None:
        self._ledger = ledger
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._taken = taken
        self._lost = lost
        self._busy = busy
        self._owned: dict[int, Owned] = {}
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

    async def run(self) -> None:
        """Claim, renew and share until cancelled."""
        while True:
            try:
                await self.tick()
                self.away = None
            except LedgerAway as error:
                if self.away is None:
                    log.warning("no ledger", extra={"fields": {"problem": str(error)}})
                self.away = str(error)
            await asyncio.sleep(self._lease_seconds / 5)

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
        if self._owned.get(owned.shard) == owned:
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
        try:
            await self._taken(claimed)
        except LedgerAway:
            for owned in claimed:
                self._drop(owned)  # nobody's until the lease runs out; then it is loaded whole
            raise
        log.info("shards taken", extra={"fields": {"taken": len(claimed)}})

    async def _give_up(self, excess: int) -> None:
        given = sorted(self.owned, key=lambda owned: self._busy(owned.shard))[:excess]
        for owned in given:
            self._drop(owned)
        await self._ledger.release(self._owner, given)
        log.info("shards given up", extra={"fields": {"given": len(given)}})

    def _drop(self, owned: Owned) -> None:
        if self._owned.get(owned.shard) == owned:
            del self._owned[owned.shard]
            self._lost(owned)
