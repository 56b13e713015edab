"""From taken messages to their end: what one delivery of a Trigger's events consists of.

message -> record -> event -> filter (of a queue) -> data -> transform -> breaker -> dedupe
        -> target -> done | tried again | put off | given up
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torpor.errors import TorporError
from torpor.resources.trigger import Trigger
from torpor.telemetry.logs import Seldom
from torpor.telemetry.metrics import (
    TRIGGER_DELIVERY_SECONDS,
    TRIGGER_FAILED,
    TRIGGER_IN_FLIGHT,
)
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker.errors import BrokerRefused
from torpor.triggers.broker.pulling import Message
from torpor.triggers.delivery.attempting import Attempting
from torpor.triggers.delivery.attempts import MOST_BREAKS, Answer, Verdict, judge
from torpor.triggers.delivery.breaker import Passage
from torpor.triggers.delivery.capacity import Places
from torpor.triggers.delivery.claiming import Claiming
from torpor.triggers.delivery.item import Item, for_each
from torpor.triggers.delivery.partial import UnknownItem, failed_positions
from torpor.triggers.delivery.parts import DeliveryParts
from torpor.triggers.delivery.plan import Plan
from torpor.triggers.delivery.preparing import Preparing
from torpor.triggers.delivery.record import RecordKey
from torpor.triggers.delivery.settling import Settling
from torpor.triggers.delivery.targets import Target

log = logging.getLogger(__name__)

_BROKER_PAUSE_SECONDS = 2.0
_DEFECT_PAUSE_SECONDS = 30.0
_ABSENT_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
"""When a target that is not there is looked for again."""
_TELL_SECONDS = 30.0
"""A gateway that cannot be reached is told to the log so often."""


class Handling:
    """Handles the messages of one Trigger, as it is in one generation."""

    def __init__(self, plan: Plan, parts: DeliveryParts, places: Places) -> None:
        self._plan = plan
        self._trigger: Trigger = plan.trigger
        self._parts = parts
        self._places = places
        self._settling = Settling(
            plan.trigger, parts, plan.dedupe, plan.last_resort, plan.aftermath
        )
        self._claiming = Claiming(plan, parts, self._settling)
        self._preparing = Preparing(plan, parts, self._settling)
        self._flying: dict[tuple[int, float], Item] = {}
        labels = (plan.trigger.key.namespace, plan.trigger.key.name)
        self._failed = TRIGGER_FAILED.labels(*labels)
        self._told = Seldom(parts.clock, _TELL_SECONDS)
        self._seconds = TRIGGER_DELIVERY_SECONDS.labels(*labels)
        self._in_flight = TRIGGER_IN_FLIGHT.labels(*labels)

    def adopt(self, messages: Sequence[Message]) -> list[Item]:
        """Return what is to be delivered; what is in flight goes on under its new delivery.

        What is settled comes again while others of its batch are in flight: that is new.
        """
        items: list[Item] = []
        for message in messages:
            flying = self._flying.get((message.seq, message.stored_seconds))
            if flying is not None and not flying.settled:
                flying.message = message
                continue
            key = RecordKey.of(self._trigger.key, message)
            item = Item(message, key, self._parts.receipts)
            self._flying[item.id] = item
            items.append(item)
        self._parts.keeper.hold(items)
        return items

    async def handle(self, items: Sequence[Item]) -> None:
        """Deliver what was adopted, in one request if it is several. Never raises an Exception."""
        pause = 0.0
        try:
            await self._deliver(items)
        except (BrokerAway, BrokerRefused) as error:
            pause = _BROKER_PAUSE_SECONDS
            if not isinstance(error, BrokerAway):
                self._complain(error)
        except Exception:
            pause = _DEFECT_PAUSE_SECONDS
            log.exception("a delivery of %s failed inside", self._trigger.key)
        finally:
            await self.abandon(items, pause)

    async def abandon(self, items: Sequence[Item], pause_seconds: float = 0.0) -> None:
        """Have what is not settled delivered again, after a pause."""
        for item in items:
            await item.give_back(pause_seconds)
            if self._flying.get(item.id) is item:
                del self._flying[item.id]
        self._parts.keeper.release(items)

    async def note_in_flight(self) -> None:
        """Have it known what is in flight: nothing more will be taken."""
        items = [item for item in self._flying.values() if not item.settled]
        try:
            await for_each(items, self._settling.begin)
        except (BrokerAway, BrokerRefused) as error:
            self._complain(error)

    async def _deliver(self, items: Sequence[Item]) -> None:
        ready = await self._preparing.ready(items)
        last = self._trigger.delivery.max_attempts - 1
        alone = [item for item in ready if item.record.breaks or 0 < last <= item.record.attempts]
        together = [item for item in ready if item not in alone] if alone else ready
        if together:
            await self._attempt(together)
        for item in alone:
            # One bad event of a batch takes no others with it to its last attempt.
            await self._attempt([item])

    async def _attempt(self, items: Sequence[Item]) -> None:
        breaker, clock = self._plan.breaker, self._parts.clock
        passage = breaker.passage(clock()) if breaker is not None else Passage.FREE
        if passage is not Passage.BARRED:
            await self._guarded(items, passage)
        elif self._plan.fallback is not None:
            await self._claim_and_send(items, self._plan.fallback)
        elif breaker is not None:
            until = self._parts.wall() + max(0.5, breaker.wait_seconds(clock()))
            await for_each(items, lambda item: self._settling.put_off(item, until))

    async def _guarded(self, items: Sequence[Item], passage: Passage) -> None:
        """An attempt that the breaker counts, if it was made."""
        breaker = self._plan.breaker
        answer: Answer | None = None
        try:
            answer = await self._claim_and_send(items, self._plan.target)
        finally:
            if breaker is not None:
                verdict = Verdict.WAIT if answer is None else judge(answer, self._trigger.delivery)
                if verdict is Verdict.WAIT:
                    breaker.forgo(passage)
                else:
                    breaker.settle(passage, self._parts.clock(), failed=verdict is Verdict.RETRY)

    async def _claim_and_send(self, items: Sequence[Item], target: Target) -> Answer | None:
        """Return the answer to the attempt; None when there was nothing to deliver.

        A claim is taken in the place where it is used: its time is that of one attempt.
        """
        suspect = any(item.record.breaks for item in items)
        async with self._places.alone() if suspect else self._places.one() as place:
            items = await self._claiming.claimed(items)
            if not items:
                return None
            async with self._claiming.kept(items):
                answer = await self._send(items, target)
        if answer.broken and (place.shared or len(items) > 1):
            items = await self._forgive(items, answer)
        if items:
            await self._settle(items, answer, target)
        return answer

    async def _send(self, items: Sequence[Item], target: Target) -> Answer:
        doubtful = [item for item in items if not item.is_accounted_for]
        if doubtful:
            await for_each(doubtful, self._settling.begin)
        answer = await self._answer(items, target)
        for item in items:
            item.record = item.record.answered() if item.record.begun else item.record
            item.record = item.record.broke() if answer.broken else item.record
            item.record = item.record.survived() if answer.of_instance else item.record
        return answer

    async def _forgive(self, items: Sequence[Item], answer: Answer) -> list[Item]:
        """Have them tried again alone, where it shows which one breaks; return the others.

        What has been forgiven too often is one of the others, so that it comes to an end.
        """
        forgiven = [item for item in items if item.record.breaks <= MOST_BREAKS]
        self._failed.inc(len(forgiven))
        await for_each(forgiven, lambda item: self._settling.forgiven(item, answer))
        return [item for item in items if item not in forgiven]

    async def _answer(self, items: Sequence[Item], target: Target) -> Answer:
        attempt = max(item.record.attempts for item in items) + 1
        attempting = Attempting(self._trigger, items, attempt, self._parts.hops)
        pieces, seconds = attempting.pieces, self._plan.timeout_seconds
        self._in_flight.inc(len(items))
        begun = self._parts.clock()
        try:
            if self._trigger.batch is None:
                answer = await target.send(pieces[0], attempt, seconds)
            else:
                answer = await target.send_batch(pieces, attempt, seconds)
        except BaseException:
            attempting.abandoned()
            raise
        finally:
            self._in_flight.dec(len(items))
            self._seconds.observe(self._parts.clock() - begun)
        attempting.ended(answer)
        return answer

    async def _settle(self, items: Sequence[Item], answer: Answer, target: Target) -> None:
        self._places.learn(answer)
        verdict = judge(answer, self._trigger.delivery)
        if verdict is Verdict.DONE:
            await self._settle_done(items, answer)
        elif verdict is Verdict.GIVE_UP and len(items) > 1:
            # Which of them the target does not want is found out one by one.
            for item in items:
                await self._settling.release(item)
                await self._claim_and_send([item], target)
        else:
            await self._settle_failed(items, answer, verdict)

    async def _settle_done(self, items: Sequence[Item], answer: Answer) -> None:
        failed: frozenset[int] = frozenset()
        if self._trigger.batch is not None and answer.body:
            try:
                failed = failed_positions(answer.body, [item.content.event.id for item in items])
            except UnknownItem as error:
                strange = Answer(answer.status, str(error))
                return await self._settle_failed(items, strange, Verdict.RETRY)
        said = Answer(answer.status, "the target says that it failed")
        losers = [item for position, item in enumerate(items) if position in failed]
        winners = [item for position, item in enumerate(items) if position not in failed]
        self._failed.inc(len(losers))
        await for_each(losers, lambda item: self._settling.failed(item, said))
        await self._settling.all_done(winners, answer)

    async def _settle_failed(self, items: Sequence[Item], answer: Answer, verdict: Verdict) -> None:
        if verdict is Verdict.WAIT:
            self._tell_unreached(answer)
            return await for_each(items, self._await_target)
        self._failed.inc(len(items))
        settle = self._settling.failed if verdict is Verdict.RETRY else self._settling.refused
        await for_each(items, lambda item: settle(item, answer))

    async def _await_target(self, item: Item) -> None:
        pause = _ABSENT_SECONDS[min(item.record.excused, len(_ABSENT_SECONDS) - 1)]
        await self._settling.put_off(item, self._parts.wall() + pause)

    def _tell_unreached(self, answer: Answer) -> None:
        if answer.status is None and self._told.due():
            fields = {"trigger": str(self._trigger.key), "error": answer.error}
            log.warning("the target cannot be reached: its events wait", extra={"fields": fields})

    def _complain(self, error: TorporError) -> None:
        fields = {"trigger": str(self._trigger.key), "error": str(error)}
        log.warning("a delivery could not be settled", extra={"fields": fields})
