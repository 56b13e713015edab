"""One attempt at some events, as their traces tell it: a span in the trace of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torpor.resources.trigger import Trigger
from torpor.telemetry.tracing import Kind
from torpor.triggers.delivery.attempts import Answer
from torpor.triggers.delivery.item import Item
from torpor.triggers.hops import Hops, hop_of


class Attempting:
    """Begins when it is made; `pieces` are what the target is to be given.

    `number` is that of the attempt, from 1.
    """

    def __init__(self, trigger: Trigger, items: Sequence[Item], number: int, hops: Hops) -> None:
        self._trigger = trigger
        self._number = number
        self._hops = hops
        self._began = hops.wall()
        self._made = [
            hop_of(item.content.trace, item.content.identity, f"{number} {item.record.excused}")
            for item in items
        ]
        pairs = zip(items, self._made, strict=True)
        self.pieces = [replace(item.content, trace=hop.traceparent) for item, hop in pairs]

    def ended(self, answer: Answer) -> None:
        """Tell what came of it: an answer's status is its error, what it said is not told."""
        status: dict[str, str | int] = {}
        if answer.status is not None:
            status["http.response.status_code"] = answer.status
        if answer.run:
            status["torpor.run"] = answer.run
        failure = "absent" if answer.absent else str(answer.status or "no answer")
        self._tell(None if answer.ok else failure, status)

    def abandoned(self) -> None:
        """Tell that it was not waited for: the broker was lost, or the process ends."""
        self._tell("abandoned", {})

    def _tell(self, error: str | None, more: Mapping[str, str | int]) -> None:
        events = (piece.event for piece in self.pieces)
        attributes: dict[str, str | int] = {
            "torpor.trigger": str(self._trigger.key),
            "torpor.attempt": self._number,
            "messaging.batch.message_count": len(self.pieces),
            **more,
        }
        self._hops.tell(
            f"deliver {self._trigger.key}",
            Kind.CLIENT,
            self._began,
            zip(self._made, events, strict=True),
            error,
            attributes,
        )
