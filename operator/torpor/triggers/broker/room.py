"""How much room JetStream's store has, what still goes in, and what the archives give up. Pure.

Buses keep what they delivered; that gives way to what is still to be delivered, never the other way
round. Publishing ends before the store is full: leases, records of attempts and dead letters are
written there too, and without them nothing would be delivered that could make room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

ARCHIVE_SHARE = 0.5
"""Of the store, for all buses together."""
_ARCHIVE_AFTER_SHARE = 0.45
TIGHT_SHARE = 0.85
"""Above it the archives give way however little they have."""
_TIGHT_AFTER_SHARE = 0.8
TAKING_SHARE = 0.9
"""Above it nothing new is taken."""
_INBOX_SHARE = 0.25
"""Of the store, for one Trigger."""
_BUSES = "torpor.bus."
_INBOXES = "torpor.inbox."
_TAKEN_IN = (_BUSES, _INBOXES, "torpor.queue.", "torpor.objects.")


@dataclass(frozen=True, slots=True)
class Room:
    """The store as last looked at. `store_bytes` 0: how large it is, is not known."""

    store_bytes: int = 0
    used_bytes: int = 0
    archive_bytes: int = 0
    crowded: frozenset[tuple[str, str]] = frozenset()
    """Namespace and name of the Triggers whose inboxes have more than they may."""

    @property
    def inbox_bytes(self) -> int:
        """What one Trigger's inbox may have."""
        return int(_INBOX_SHARE * self.store_bytes)

    def crowding(self, subject: str) -> str:
        """Return why an inbox takes nothing now; empty where it does, and of what is no inbox."""
        if not self.crowded or not subject.startswith(_INBOXES):
            return ""
        namespace, name = subject.removeprefix(_INBOXES).split(".")[:2]
        if (namespace, name) not in self.crowded:
            return ""
        return (
            f"the inbox of the Trigger {namespace}/{name} has more than {self.inbox_bytes} bytes, "
            "a quarter of the store; see why its target does not take them"
        )

    @property
    def surplus_bytes(self) -> int:
        """What the archives have to give up; 0 while there is room."""
        surplus = 0.0
        if self.archive_bytes > ARCHIVE_SHARE * self.store_bytes:
            surplus = self.archive_bytes - _ARCHIVE_AFTER_SHARE * self.store_bytes
        if self.used_bytes > TIGHT_SHARE * self.store_bytes:
            surplus = max(surplus, self.used_bytes - _TIGHT_AFTER_SHARE * self.store_bytes)
        return min(self.archive_bytes, int(surplus)) if self.store_bytes else 0

    def refusal(self, subject: str) -> str:
        """Return why nothing may be published to a subject now; empty where it may."""
        if not self.store_bytes or not subject.startswith(_TAKEN_IN):
            return ""
        if self.used_bytes > TAKING_SHARE * self.store_bytes:
            return (
                f"the store is full: {self.used_bytes} of {self.store_bytes} bytes are used; "
                "let Triggers deliver, purge dead letters or queues, or give JetStream more"
            )
        if subject.startswith(_BUSES) and self.archive_bytes > ARCHIVE_SHARE * self.store_bytes:
            return (
                f"the store is full for buses: they have {self.archive_bytes} bytes that are not "
                f"routed yet, of {int(ARCHIVE_SHARE * self.store_bytes)} for all of them"
            )
        return ""


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
        each.stream: each.first_seq + ceil(each.spare_messages * (1 - level / each.spare_bytes))
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
