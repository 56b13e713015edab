"""Brings what others left in the ledger: executions just started, and posted events.

The ledger's notifications are only a hint to look; every shard is also looked at now and then, so a
lost notification delays and loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

from torpor.workflows.asl.events import Input
from torpor.workflows.asl.frontier import Status
from torpor.workflows.engine.driving import Driver
from torpor.workflows.engine.keeping import Keeper
from torpor.workflows.engine.lost import last_commit
from torpor.workflows.engine.mail import is_late, too_late
from torpor.workflows.engine.ownership import Ownership
from torpor.workflows.engine.programs import Programs
from torpor.workflows.engine.resident import Resident
from torpor.workflows.engine.residents import Residents
from torpor.workflows.ledger.base import (
    AlreadyExists,
    Fenced,
    Ledger,
    LedgerAway,
    LedgerError,
    NotFound,
    Owned,
    Stored,
)
from torpor.workflows.ledger.unread import Unread

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
        self._unread = Unread()

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
            except LedgerError:
                log.exception("the inbox could not be read")
                await asyncio.sleep(SWEEP_SECONDS)

    async def load(self, owned: Sequence[Owned]) -> None:
        """Take in every running execution of shards that were just claimed.

        Those that wait for long leave the memory again when it holds too many.
        """
        await self._take_in_parts(self._ledger.load(owned), {one.shard: one for one in owned})
        await self.look([one.shard for one in owned])

    async def look(self, shards: Sequence[int]) -> None:
        """Take in what was started in these shards and what was posted to them."""
        claims = {shard: self._ownership.get(shard) for shard in shards}
        await self._take_in_parts(self._ledger.started(shards), claims)
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

    async def tell(self, arn: str, event: Input) -> None:
        """Have an event taken in, here or by the engine that owns the execution; durable.

        Raises TaskGone when it answers a task that is over.
        """
        resident = self._residents.get(arn)
        if resident is not None:
            try:
                await self._driver.settle(resident, event)
                return
            except Fenced:
                # Another engine's, or ended: then the answer to a task comes too late.
                if is_late(arn, (await self._ledger.load_one(arn)).frontier, event):
                    raise too_late() from None
                log.info("an event goes to the new owner", extra={"fields": {"execution": arn}})
        try:
            await self._ledger.post(arn, event)
        except AlreadyExists:
            raise too_late() from None

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
        except LedgerAway:
            raise
        except LedgerError as error:  # its event waits in the ledger; the others must not
            self._unread.leave(arn, error)
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

    async def _take_in_parts(
        self, parts: AsyncIterator[list[Stored]], claims: Mapping[int, Owned | None]
    ) -> None:
        more = True
        while more:
            with self._residents.reading() as left:
                part = await anext(parts, None)
                for stored in part or ():
                    resident = await self._take_in(stored, claims.get(stored.execution.shard), left)
                    if resident is not None:
                        self._keeper.idle(resident)
            more = part is not None

    async def _take_in(
        self, stored: Stored, owned: Owned | None, left: Collection[str]
    ) -> Resident | None:
        """Take in what was read while the shard was owned like this, if it still is.

        One that cannot go on is left where it is: it must not hold up the others.
        """
        if owned is None or not self._residents.may_enter(stored.execution.arn, left):
            return None
        try:
            return await self._adopted(stored, owned, left)
        except LedgerError:
            raise
        except Exception as error:
            self._unread.leave(stored.execution.arn, error)
            return None

    async def _adopted(
        self, stored: Stored, owned: Owned, left: Collection[str]
    ) -> Resident | None:
        execution = stored.execution
        try:
            revision = await self._programs.of(execution.machine_arn, execution.revision_id)
        except NotFound:
            if execution.status is not Status.RUNNING:
                raise
            await self._end(stored, owned)
            return None
        if self._ownership.holds(owned) and self._residents.may_enter(execution.arn, left):
            return self._keeper.adopt(stored, revision, owned)
        return None

    async def _end(self, stored: Stored, owned: Owned) -> None:
        """End an execution whose definition is gone."""
        fields = {"execution": stored.execution.arn, "machine": stored.execution.machine_arn}
        log.error("an execution ends: its definition is gone", extra={"fields": fields})
        with contextlib.suppress(Fenced):  # then its new owner does
            await self._ledger.commit(
                last_commit(stored, owned, self._keeper.world(stored.execution))
            )
