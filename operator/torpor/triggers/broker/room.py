"""How much room JetStream's store has, what still goes in, and what the archives give up. Pure.

Buses keep what they delivered; that gives way to what is still to be delivered, never the other way
round. Publishing ends before the store is full: leases, records of attempts and dead letters are
written there too, and without them nothing would be delivered that could make room.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torpor.triggers.broker import names

ARCHIVE_SHARE = 0.5
"""Of the store, for all buses together."""
_ARCHIVE_AFTER_SHARE = 0.45
TIGHT_SHARE = 0.85
"""Above it the archives give way however little they have."""
_TIGHT_AFTER_SHARE = 0.8
TAKING_SHARE = 0.9
"""Above it nothing new is taken."""
MOVING_SHARE = 0.95
"""Above it nothing is moved from one stream to another either."""
_SHARES = {"torpor.inbox.": 0.5, "torpor.dead.": 0.25, "torpor.queue.": 0.25}
"""Of the store, for all inboxes, for all dead letters, and for one queue."""
_BUSES = "torpor.bus."
_COUNTED = (_BUSES, "torpor.objects.", *_SHARES)


@dataclass(frozen=True, slots=True)
class Room:
    """The store as last looked at. `store_bytes` 0: how large it is, is not known."""

    store_bytes: int = 0
    used_bytes: int = 0
    archive_bytes: int = 0
    held: Mapping[str, int] = field(default_factory=dict)
    """What each stream has, in bytes, by its name."""
    is_told: bool = True
    """Whether somebody said how large it is; else it is what was used when it was full."""

    @property
    def surplus_bytes(self) -> int:
        """What the archives have to give up; 0 while there is room."""
        surplus = 0.0
        if self.archive_bytes > ARCHIVE_SHARE * self.store_bytes:
            surplus = self.archive_bytes - _ARCHIVE_AFTER_SHARE * self.store_bytes
        if self.used_bytes > TIGHT_SHARE * self.store_bytes:
            surplus = max(surplus, self.used_bytes - _TIGHT_AFTER_SHARE * self.store_bytes)
        return min(self.archive_bytes, int(surplus)) if self.store_bytes else 0

    @property
    def taking_bytes(self) -> float:
        """What may be used for something new to be taken."""
        return TAKING_SHARE * self.store_bytes

    @property
    def moving_bytes(self) -> float:
        """What may be used for something to be moved; without end where the size is learned.

        Such a store was quite full once, and what is moved then makes room.
        """
        return MOVING_SHARE * self.store_bytes if self.is_told else math.inf

    def refusal(
        self, subject: str, admitted_bytes: int = 0, most_bytes: float | None = None
    ) -> str:
        """Return why nothing may be published to a subject now; empty where it may.

        This process has sent `admitted_bytes` since the look. They count twice: others send too.
        At most `most_bytes` may be used, or what may be used for something new.
        """
        if not self.store_bytes or not subject.startswith(_COUNTED):
            return ""
        most_bytes = self.taking_bytes if most_bytes is None else most_bytes
        if self.used_bytes + 2 * admitted_bytes > most_bytes:
            return (
                f"the store is full: {self.used_bytes} of {self.store_bytes} bytes are used; "
                "let Triggers deliver, purge dead letters or queues, or give JetStream more"
            )
        return self._share_refusal(subject)

    def is_outdated(self, admitted_bytes: int) -> bool:
        """Whether so much was sent since the look that it is time for another."""
        return 4 * admitted_bytes > self.taking_bytes - self.used_bytes > 0

    def _share_refusal(self, subject: str) -> str:
        if subject.startswith(_BUSES):
            return self._bus_refusal()
        for root, share in _SHARES.items():
            stream = names.stream_of(subject) if subject.startswith(root) else ""
            if self.held.get(stream, 0) > share * self.store_bytes:
                return (
                    f"the store is full for {stream}: it has {self.held[stream]} bytes, of "
                    f"{int(share * self.store_bytes)} that it may have; deliver or purge some"
                )
        return ""

    def _bus_refusal(self) -> str:
        if self.archive_bytes <= ARCHIVE_SHARE * self.store_bytes:
            return ""
        return (
            f"the store is full for buses: they have {self.archive_bytes} bytes that are not "
            f"routed yet, of {int(ARCHIVE_SHARE * self.store_bytes)} for all of them"
        )


@dataclass(frozen=True, slots=True)
class Archive:
    """What a bus keeps. `routed_seq` is its last message that nobody needs any more."""

    stream: str
    messages: int
    size_bytes: int
    first_seq: int
    routed_seq: int

    @property
    def spare_messages(self) -> int:
        """How many it could give up."""
        return max(0, min(self.messages, self.routed_seq - self.first_seq + 1))

    @property
    def spare_bytes(self) -> float:
        """What these have, as if all messages had the same size; the next look corrects it."""
        return self.size_bytes * self.spare_messages / self.messages if self.messages else 0.0


def giving_way(archives: Sequence[Archive], surplus_bytes: int) -> Mapping[str, int]:
    """Return, by stream, the first message to keep, so that this much is given up.

    Who could give up most gives way first, down to what the next one has: a bus that keeps little
    keeps all of it.
    """
    level = _level([archive.spare_bytes for archive in archives], surplus_bytes)
    return {
        each.stream: each.first_seq
        + math.ceil(each.spare_messages * (1 - level / each.spare_bytes))
        for each in archives
        if each.spare_bytes > level
    }


def _level(sizes: Sequence[float], surplus_bytes: int) -> float:
    """The size to which those above it have to shrink."""
    left = float(surplus_bytes)
    falling = sorted(sizes, reverse=True)
    for count, (size, smaller) in enumerate(zip(falling, [*falling[1:], 0.0], strict=True), 1):
        if left <= count * (size - smaller):
            return size - left / count
        left -= count * (size - smaller)
    return 0.0
