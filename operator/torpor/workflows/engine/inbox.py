"""Brings what others left in the ledger: executions just started, and posted events.

The ledger's notifications are only a hint to look; every shard is also looked at now and then, so a
lost notification delays and loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterable, Sequence

from torpor.workflows.asl.events import Input
from torpor.workflows.engine.driving import Driver
from torpor.workflows.engine.keeping import Keeper
from torpor.workflows.engine.ownership import Ownership
from torpor.workflows.engine.programs import Programs
from torpor.workflows.engine.resident import Resident
from torpor.workflows.engine.residents import Residents
from torpor.workflows.ledger.base import Ledger, LedgerAway, NotFound, Owned, Stored

log = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0
"""How often every owned shard is looked at, whatever was notified."""
_WAIT_SECONDS = 1.0
_AWAY_PAUSE_SECONDS = 0.5


class Inbox:
    """Reads the ledger for the shards that are owned."""

    def __init__(
        self,
        ledger: Ledger,
        ownership: Ownership,
        residents: Residents,
        programs: Programs,
        keeper: Keeper,
        driver: Driver,
    ) -> None:
        self._ledger = ledger
        self._ownership = ownership
        self._residents = residents
        self._programs = programs
        self._keeper = keeper
        self._driver = driver
        self._looking = asyncio.Lock()
        self._known: dict[int, int] = {}
        self._consumed: set[int] = set()

    def consumed(self, ids: Iterable[int]) -> None:
        """Posted events were used up by a commit, or came too late for their resident."""
        self._consumed.update(ids)

    def lost(self, shard: int) -> None:
        """A shard is another engine's: its events are, too."""
        self._known = {id: of for id, of in self._known.items() if of != shard}

    async def run(self) -> None:
        """Follow the owned shards until cancelled."""
        loop = asyncio.get_running_loop()
        swept = loop.time()
        while True:
            owned = [owned.shard for owned in self._ownership.owned]
            try:
                shards = await self._ledger.wait_for_work(owned, _WAIT_SECONDS)
                if loop.time() - swept >= SWEEP_SECONDS:
                    shards, swept = set(owned), loop.time()
                if shards:
                    await self.look(sorted(shards))
            except LedgerAway:
                await asyncio.sleep(_AWAY_PAUSE_SECONDS)

    async def load(self, owned: Sequence[Owned]) -> None:
        """Take in every running execution of shards that were just claimed.

        Those that wait for long leave the memory again when it holds too many.
        """
        claims = {one.shard: one for one in owned}
        parts = self._ledger.load(owned)
        more = True
        while more:
            with self._residents.reading() as left:
                part = await anext(parts, None)
                for stored in part or ():
                    resident = await self._take_in(stored, claims.get(stored.execution.shard), left)
                    if resident is not None:
                        self._keeper.idle(resident)
            more = part is not None
        await self.look([one.shard for one in owned])

    async def look(self, shards: Sequence[int]) -> None:
        """Take in what was started in these shards and what was posted to them."""
        claims = {shard: self._ownership.get(shard) for shard in shards}
        with self._residents.reading() as left:
            for stored in await self._ledger.started(shards):
                await self._take_in(stored, claims.get(stored.execution.shard), left)
        async with self._looking:
            for id in self._consumed:
                self._known.pop(id, None)
            self._consumed.clear()
            for posted in await self._ledger.posted(shards):
                await self._deliver(posted.id, posted.execution_arn, posted.event)

    async def wake(self, arn: str, event: Input) -> None:
        """Deliver to an execution that may have to be loaded first."""
        with contextlib.suppress(NotFound):
            resident = await self._resident(arn)
            if resident is not None:
                self._driver.deliver(resident, event)

    async def revive(self, arn: str) -> None:
        """Load an execution again, and let it go on."""
        with contextlib.suppress(NotFound):
            await self._resident(arn)

    async def _deliver(self, id: int, arn: str, event: Input) -> None:
        if id in self._known:
            return
        try:
            resident = await self._resident(arn)
        except NotFound:
            await self._ledger.discard([id])
            return
        if resident is None or resident.owned is None:
            return
        self._known[id] = resident.owned.shard
        self._driver.deliver(resident, event, id)

    async def _resident(self, arn: str) -> Resident | None:
        """The execution in memory, loaded if need be; None when it is not this engine's.

        Raises NotFound when nothing of it can run any more.
        """
        resident = self._residents.get(arn)
        owned = self._ownership.get(self._ledger.shard_of(arn))
        if resident is not None or owned is None:
            return resident
        with self._residents.reading() as left:
            stored = await self._ledger.load_one(arn)
            if stored.over:
                raise NotFound(f"{arn} is over")
            await self._take_in(stored, owned, left)
        if arn in left:  # it came, went on and left while this read: what was read is out of date
            return await self._resident(arn)
        return self._residents.get(arn)

    async def _take_in(
        self, stored: Stored, owned: Owned | None, left: Collection[str]
    ) -> Resident | None:
        """Take in what was read while the shard was owned like this, if it still is."""
        execution = stored.execution
        if owned is None or not self._residents.may_enter(execution.arn, left):
            return None
        try:
            revision = await self._programs.of(execution.machine_arn, execution.revision_id)
        except LedgerAway:
            raise
        except Exception:  # a definition that cannot be read must not hold up the other executions
            fields = {"execution": execution.arn, "machine": execution.machine_arn}
            log.exception("an execution cannot go on", extra={"fields": fields})
            return None
        if self._ownership.holds(owned) and self._residents.may_enter(execution.arn, left):
            return self._keeper.adopt(stored, revision, owned)
        return None
