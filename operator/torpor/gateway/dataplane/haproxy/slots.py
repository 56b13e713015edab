"""Which function has which of HAProxy's prepared backends, and the servers in it. Pure.

A backend that was given back stays its last owner's (and returns to it at once) until it is known
to be empty: HAProxy still has requests on the way to it for a moment.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from torpor.errors import SlotsExhausted
from torpor.gateway.dataplane.base import Server

QUARANTINE_SECONDS = 2.0
"""How long an empty backend rests before another function may have it."""


class Stage(Enum):
    """How far HAProxy is with a server; ADDING while its answer is not known."""

    ADDING = "adding"
    ADDED = "added"
    READY = "ready"
    LEAVING = "leaving"


@dataclass(slots=True)
class Member:
    """A server as HAProxy has it; `row` is its name there. `deadline` is set while it leaves."""

    row: str
    server: Server
    stage: Stage
    deadline: float | None = None

    def is_at(self, server: Server) -> bool:
        """Whether it is the same instance at the same address (the limit may differ)."""
        mine = self.server
        return (mine.name, mine.address, mine.port, mine.h2c) == (
            server.name,
            server.address,
            server.port,
            server.h2c,
        )


@dataclass(slots=True)
class Slot:
    """One backend. `quiet_since` is when it was given back, or last named to a held request."""

    name: str
    members: dict[str, Member] = field(default_factory=dict)
    given_back: bool = False
    quiet_since: float = 0.0
    bumps: int = 0
    total: int = 0
    requests_before: int = 0

    def find(self, server: Server) -> Member | None:
        """Return the member that is `server`, if any."""
        return next((item for item in self.members.values() if item.is_at(server)), None)

    def leaving(self) -> list[Member]:
        """Return the members that finish what they have."""
        return [item for item in self.members.values() if item.stage is Stage.LEAVING]

    def requests(self, total: int) -> int:
        """Return its owner's requests so far; `total` is what HAProxy counts for the backend."""
        self.total = total
        return self.requests_before + total

    def is_free(self, current: int, now: float) -> bool:
        """Whether another owner may have it; `current` is what HAProxy sees inside."""
        rested = now - self.quiet_since > QUARANTINE_SECONDS
        return self.given_back and not self.members and current == 0 and rested


Owner = TypeVar("Owner", bound=Hashable)


class SlotPool(Generic[Owner]):
    """The backends of one kind."""

    def __init__(self, names: list[str]) -> None:
        self._free = [Slot(name) for name in reversed(names)]
        self._bound: dict[Owner, Slot] = {}

    def __len__(self) -> int:
        return len(self._bound)

    @property
    def exhausted(self) -> bool:
        """Whether a new owner would get none."""
        return not self._free

    def slots(self) -> Iterator[tuple[Owner, Slot]]:
        """Iterate over all that have an owner, also a past one."""
        return iter(list(self._bound.items()))

    def find(self, owner: Owner) -> Slot | None:
        """Return the owner's slot; None if it has none or gave it back."""
        slot = self._bound.get(owner)
        return slot if slot and not slot.given_back else None

    def bind(self, owner: Owner) -> Slot:
        """Return the owner's slot, a new one if need be; SlotsExhausted if none is left."""
        slot = self._bound.get(owner)
        if slot is None:
            if not self._free:
                raise SlotsExhausted(f"all {len(self._bound)} slots of HAProxy are in use")
            slot = self._bound[owner] = self._free.pop()
            slot.given_back = True
        if slot.given_back:  # a new lane counts from zero, also of an owner who comes back
            slot.requests_before = -slot.total
        slot.given_back = False
        return slot

    def give_back(self, owner: Owner, now: float) -> None:
        """Begin the slot's rest; it is free after `release`."""
        slot = self._bound.get(owner)
        if slot and not slot.given_back:
            slot.given_back, slot.quiet_since = True, now

    def release(self, owner: Owner) -> None:
        """Let others have the slot."""
        # Appended last, taken first: the backends in use stay few and known to HAProxy's caches.
        self._free.append(self._bound.pop(owner))

    def restarted(self) -> None:
        """Follow HAProxy into a new life: no server, no request, counters at zero."""
        for slot in [*self._bound.values(), *self._free]:
            slot.members.clear()
            slot.bumps = 0
            slot.requests_before += slot.total
            slot.total = 0
        for owner in [owner for owner, slot in self._bound.items() if slot.given_back]:
            self.release(owner)
