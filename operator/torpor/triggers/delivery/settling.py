"""The end of one delivery of an event: done, to be tried later, put off, or given up.

The order is what makes it safe: first all that must be known is stored, then the broker is told. A
crash in between repeats the last step and nothing else.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from torpor.resources.trigger import SourceKind, Trigger
from torpor.telemetry.metrics import (
    TRIGGER_DEAD_LETTERED,
    TRIGGER_DEDUPLICATED,
    TRIGGER_DELIVERED,
    TRIGGER_RETRIED,
)
from torpor.triggers.broker.errors import StoreFull
from torpor.triggers.broker.publishing import Outgoing
from torpor.triggers.delivery.aftermath import Aftermath
from torpor.triggers.delivery.attempts import Answer, pause_seconds, retry_after_seconds
from torpor.triggers.delivery.burial import Death, bury_event, bury_raw
from torpor.triggers.delivery.dedupe import Deduplication
from torpor.triggers.delivery.item import Item, MessageId, for_each
from torpor.triggers.delivery.parts import DeliveryParts
from torpor.triggers.delivery.piece import Piece, identity_of
from torpor.triggers.delivery.record import FRESH, Record
from torpor.triggers.delivery.targets import Target
from torpor.triggers.event import Event, to_structured
from torpor.triggers.hops import hop_of

log = logging.getLogger(__name__)

_REMEMBERED = 10_000
_LAST_RESORT_SECONDS = 60.0
_MOST_ERROR = 500


@dataclass(frozen=True, slots=True)
class _End:
    """A delivery that succeeded, of which the broker may not know yet."""

    item: Item
    answer: Answer


class Settling:
    """Settles the events of one Trigger. All methods raise BrokerAway: the event comes again."""

    def __init__(
        self,
        trigger: Trigger,
        parts: DeliveryParts,
        dedupe: Deduplication | None,
        last_resort: Target | None,
        aftermath: Aftermath | None = None,
    ) -> None:
        self._trigger = trigger
        self._aftermath = aftermath
        self._parts = parts
        self._dedupe = dedupe
        self._last_resort = last_resort
        self._ended: OrderedDict[MessageId, _End | None] = OrderedDict()
        """Deliveries that succeeded here; None once the broker was told (it may have missed it)."""
        labels = (trigger.key.namespace, trigger.key.name)
        self._delivered = TRIGGER_DELIVERED.labels(*labels)
        self._retried = TRIGGER_RETRIED.labels(*labels)
        self._dead = TRIGGER_DEAD_LETTERED.labels(*labels)
        self._deduplicated = TRIGGER_DEDUPLICATED.labels(*labels)

    async def again(self, item: Item) -> bool:
        """Settle what was delivered before, and say whether it was."""
        if item.id not in self._ended:
            return await self._published_again(item)
        end = self._ended[item.id]
        if end is None:
            await item.ack()
        else:
            end.item.message = item.message
            await self._finish(end)
            item.settled = True
        return True

    async def all_done(self, items: Sequence[Item], answer: Answer) -> None:
        """The target took them."""
        if any(item.claim is not None or item.record is not FRESH for item in items):
            return await for_each(items, lambda item: self._done(item, answer))
        for item in items:
            await self._done(item, answer)  # nothing to wait for, as a rule

    async def unwanted(self, item: Item) -> None:
        """The filter does not want it."""
        await item.ack()

    async def repeated(self, item: Item, first: Answer) -> None:
        """Another event with its key was delivered, with this answer."""
        self._deduplicated.inc()
        await self._told(item, first)
        await item.ack()

    async def begin(self, item: Item) -> None:
        """Have it known that an attempt begins, whatever becomes of this process."""
        item.record = item.record.beginning()
        await self._parts.records.write(item.key, item.record)

    async def put_off(self, item: Item, until: float) -> None:
        """It is tried again at Unix time `until`; no attempt was used up."""
        await self.release(item)
        await self._later(item, until, excused=1)

    async def failed(self, item: Item, answer: Answer) -> None:
        """An attempt failed that may be repeated, if any is left."""
        delivery, now = self._trigger.delivery, self._parts.wall()
        await self.release(item)
        item.record = item.record.failed(now, answer.error, answer.status)
        if item.record.attempts >= delivery.max_attempts:
            return await self.bury(item, answer.error, answer)
        asked = retry_after_seconds(answer.retry_after, now) if answer.retry_after else 0.0
        pause = pause_seconds(delivery.backoff, item.record.attempts, self._parts.chance, asked)
        if now + pause - item.message.stored_seconds > delivery.max_age_seconds:
            return await self.bury(item, f"{answer.error} (and soon too old)", answer)
        self._retried.inc()
        await self._later(item, now + pause, excused=0)

    async def forgiven(self, item: Item, answer: Answer) -> None:
        """An attempt broke that others were beside: which of them broke it is not known."""
        delivery, now = self._trigger.delivery, self._parts.wall()
        attempt = item.record.attempts + 1
        pause = pause_seconds(delivery.backoff, attempt, self._parts.chance)
        item.record = replace(item.record, error=answer.error, status=answer.status)
        await self.put_off(item, now + pause)

    async def refused(self, item: Item, answer: Answer) -> None:
        """An attempt failed that is not to be repeated."""
        await self.release(item)
        item.record = item.record.failed(self._parts.wall(), answer.error, answer.status)
        await self.bury(item, answer.error, answer)

    async def bury(self, item: Item, error: str, answer: Answer | None = None) -> None:
        """Give it up: into the dead letters, then on to who wants them, then out of the inbox."""
        if item.record.attempts:
            await self._parts.records.write(item.key, item.record)
        if self._trigger.dead_letter.enabled:
            letter = self._letter(item, error)
            await self._parts.world.publisher.publish(
                letter.subject, letter.data, msg_id=letter.msg_id
            )
        if not await self._sent_on(item, error):
            return
        if self._aftermath is not None:
            await self._aftermath.failed(item, answer)
        await self._told(item, answer or Answer(item.record.status, error))
        await self._ends(item)
        self._dead.inc()
        if item.record is not FRESH:
            await self._parts.records.remove(item.key)

    async def _published_again(self, item: Item) -> bool:
        """Settle what its partition ended before, and its reader published once more."""
        if self._trigger.ordering_key is None:
            return False
        item.recent = await self._parts.recents.read(item.key)
        found = item.recent.has(item.message, self._trigger.uid)
        if found:
            await item.ack()
        return found

    async def _ends(self, item: Item) -> None:
        """Have it removed, and known should it be published once more."""
        if item.recent is not None:
            recent = item.recent.and_now(item.message, self._trigger.uid)
            with suppress(StoreFull):  # published again, it would be delivered again
                await self._parts.recents.write(item.key, recent)
        await item.ack()

    async def _done(self, item: Item, answer: Answer) -> None:
        end = _End(item, answer)
        self._ended[item.id] = end
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        self._delivered.inc()
        await self._finish(end)

    async def _finish(self, end: _End) -> None:
        item = end.item
        if item.claim is not None and self._dedupe is not None:
            await self._dedupe.complete(item.claim, end.answer)
            item.claim = None
        if self._aftermath is not None:
            await self._aftermath.succeeded(item, end.answer)
        await self._told(item, end.answer)
        with suppress(StoreFull):  # that it goes makes room; what is not written here ends by age
            if item.record is not FRESH:
                await self._parts.records.remove(item.key)
        await self._ends(item)
        self._ended[item.id] = None

    async def _later(self, item: Item, until: float, excused: int) -> None:
        item.record = item.record.put_off(until, excused=excused)
        await self._parts.records.write(item.key, item.record)
        await item.put_off(max(0.01, until - self._parts.wall()))

    async def release(self, item: Item) -> None:
        """Let whoever comes first deliver it."""
        if item.claim is not None and self._dedupe is not None:
            await self._dedupe.release(item.claim)
            item.claim = None

    async def _told(self, item: Item, answer: Answer) -> None:
        """Only callers of an asynchronous source wait for what comes of their event."""
        if self._trigger.source.kind is SourceKind.HTTP and item.piece is not None:
            await self._parts.results.keep(self._trigger, item.piece.event, answer)

    def _letter(self, item: Item, error: str) -> Outgoing:
        now, piece = self._parts.wall(), item.piece
        if piece is None:
            identity = identity_of(item.message, self._trigger.uid)
            death = Death(error, now, item.record)
            return bury_raw(self._trigger, identity, item.message.data, death)
        trace = hop_of(piece.trace, piece.identity, "dead letter").traceparent
        death = Death(error, now, item.record, trace)
        return bury_event(self._trigger, piece.identity, item.message.data, death)

    async def _sent_on(self, item: Item, error: str) -> bool:
        """Send it to the dead letters' target; False when it is tried again, having no copy."""
        if self._last_resort is None or item.piece is None:
            return True
        marked = _marked(item.piece.event, self._trigger, item.record, error)
        piece = Piece(
            item.piece.identity,
            marked,
            to_structured(marked),
            occasion=item.piece.occasion,
            trace=hop_of(item.piece.trace, item.piece.identity, "sent on").traceparent,
        )
        answer = await self._last_resort.send(piece, 1, _LAST_RESORT_SECONDS)
        if answer.ok:
            return True
        fields = {
            "trigger": str(self._trigger.key),
            "error": answer.error,
            "traceparent": piece.trace,
        }
        log.warning("a dead letter could not be sent on", extra={"fields": fields})
        if self._trigger.dead_letter.enabled:
            return True
        pause = self._trigger.delivery.backoff.max_seconds
        await self._later(item, self._parts.wall() + pause, excused=1)
        return False


def _marked(event: Event, trigger: Trigger, record: Record, error: str) -> Event:
    """The event with what became of it as extensions."""
    text = "".join(one if one.isprintable() else " " for one in error[:_MOST_ERROR])
    return event.with_attributes(
        {
            "torportrigger": str(trigger.key),
            "torporerror": text or "failed",
            "torporattempts": record.attempts,
            "torporstatus": record.status,
        }
    )
