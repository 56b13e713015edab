"""The instances of one function, and which of them can take requests. Pure.

Three sources speak of an instance: the platform (late: a kubelet reports once a second), its own
announcement (early, perhaps before the platform told its address) and a probe of its port (the
proof). An instance counts as usable when the platform says ready or a probe connected, and stays
so until it ends, or until the platform says that it is ready no longer or that something is wrong
with it: one that a probe proved may crash before the platform ever called it ready.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torpor.gateway.announcements import Announcement, Endpoint
from torpor.gateway.dataplane.base import Server
from torpor.platform.base import Instance, Trouble

GUESS_SECONDS = 10.0
"""How long an announced address may stand for an instance whose address is not yet told."""
RETIRED_SECONDS = 1.0
"""How long after a scale to zero its instances are taken for ending, although not yet told so."""


@dataclass(slots=True)
class Standing:
    """What is known of the instance at one endpoint; times are monotonic seconds.

    `guessed`: the platform has not told the instance's address, so it could be another's name.
    """

    instance: Instance
    guessed: bool
    announced_at: float | None = None
    usable_at: float | None = None
    been_ready: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """When the first usable instance was seen to pass each stage."""

    scheduled: float | None
    started: float | None
    listening: float | None


class Roster:
    """All instances of one function; `gone` is told each endpoint that is free again."""

    __slots__ = ("_gone", "_instances", "_retired", "_standings")

    def __init__(self, gone: Callable[[Endpoint], None]) -> None:
        self._gone = gone
        self._instances: tuple[Instance, ...] = ()
        self._standings: dict[Endpoint, Standing] = {}
        self._retired: dict[str, float] = {}

    @property
    def instances(self) -> tuple[Instance, ...]:
        """All instances as last told, those that are ending included."""
        return self._instances

    @property
    def live(self) -> tuple[Instance, ...]:
        """Instances that are not ending."""
        return tuple(item for item in self._instances if not item.terminating)

    def refresh(
        self, instances: tuple[Instance, ...], told: Sequence[Announcement], now: float
    ) -> None:
        """Take in all instances and announcements as they are."""
        self._instances = instances
        uids = {item.uid for item in instances}
        self._retired = {u: t for u, t in self._retired.items() if u in uids and t > now}
        placed = _place(instances, told, now)
        announced = {item.endpoint: item.at for item in told}
        for endpoint in self._standings.keys() - placed.keys():
            self._gone(endpoint)
        self._standings = {
            endpoint: self._judge(endpoint, instance, guessed, announced.get(endpoint), now)
            for endpoint, (instance, guessed) in placed.items()
        }

    def connected(self, endpoint: Endpoint, now: float) -> None:
        """Take in that a probe connected."""
        standing = self._standings.get(endpoint)
        if standing and standing.usable_at is None and not self._is_retired(standing):
            standing.usable_at = now

    def retire(self, now: float) -> None:
        """Take all instances for ending: the function was scaled to zero.

        One that lives on regardless (somebody scaled up at the same moment) counts again after
        `RETIRED_SECONDS`.
        """
        for instance in self.live:
            self._retired[instance.uid] = now + RETIRED_SECONDS
        for standing in self._standings.values():
            standing.usable_at = None

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return where usable instances are."""
        return tuple(
            endpoint for endpoint, item in self._standings.items() if item.usable_at is not None
        )

    def servers(self, limit: int, *, h2c: bool) -> tuple[Server, ...]:
        """Return the usable instances, each to take `limit` requests at once (0: no limit).

        A server is named after its endpoint, which is known before its instance is and stays.
        """
        return tuple(
            Server(server_name(endpoint), endpoint[0], endpoint[1], limit, h2c)
            for endpoint in self.endpoints()
        )

    def places(self) -> Mapping[Endpoint, Instance]:
        """Return where each live instance is, as far as that is known or announced."""
        return {endpoint: standing.instance for endpoint, standing in self._standings.items()}

    def by_instance(self, counts: Mapping[str, int]) -> Mapping[str, int]:
        """Return counts by server name as counts by instance name."""
        names = {server_name(at): item.instance.name for at, item in self._standings.items()}
        return {names.get(name, name): count for name, count in counts.items()}

    def to_probe(self, now: float, announced_within_seconds: float) -> tuple[Endpoint, ...]:
        """Return the endpoints that might listen: all (infinity), or those lately announced."""
        since = now - announced_within_seconds
        return tuple(
            endpoint
            for endpoint, item in self._standings.items()
            if item.usable_at is None
            and not self._is_retired(item)
            and (math.isinf(since) or (item.announced_at or -math.inf) >= since)
        )

    def trouble(self) -> Trouble | None:
        """Return what keeps an instance from starting, the final kind first; None if nothing."""
        found = [item.trouble for item in self.live if item.trouble is not None]
        return max(found, key=lambda trouble: trouble.final, default=None)

    def hopeless(self) -> Trouble | None:
        """Return the trouble when no instance is usable and none will become so by itself."""
        live = self.live
        if not live or self.endpoints():
            return None
        if all(_is_final(item.trouble) for item in live):
            return live[0].trouble
        return None

    def started(self) -> Started:
        """Return how the instance that was usable first got there."""
        usable = [item for item in self._standings.values() if item.usable_at is not None]
        first = min(usable, key=lambda item: item.usable_at or 0.0, default=None)
        if first is None:
            return Started(None, None, None)
        seen = first.instance.seen
        return Started(seen.get("scheduled"), _started(first), first.usable_at)

    def changes_at(self, told: Iterable[Announcement], now: float) -> float:
        """Return when time alone will next change something; infinity if never."""
        guesses = [item.at + GUESS_SECONDS for item in told]
        moments = [*self._retired.values(), *(guesses if self._has_guesses() else ())]
        return min((moment for moment in moments if moment > now), default=math.inf)

    def _has_guesses(self) -> bool:
        return any(item.guessed for item in self._standings.values())

    def _is_retired(self, standing: Standing) -> bool:
        return standing.instance.uid in self._retired

    def _judge(
        self,
        endpoint: Endpoint,
        instance: Instance,
        guessed: bool,
        announced_at: float | None,
        now: float,
    ) -> Standing:
        known = self._standings.get(endpoint)
        if known is None or not (known.guessed or known.instance.uid == instance.uid):
            known = Standing(instance, guessed)
        is_news = known.instance != instance
        known.instance, known.guessed = instance, guessed
        known.announced_at = known.announced_at if announced_at is None else announced_at
        if self._is_retired(known):
            known.usable_at = None
        elif instance.ready:
            known.usable_at = now if known.usable_at is None else known.usable_at
        elif known.been_ready or (is_news and instance.trouble is not None):
            # A probe that connects after this was told knows better than what was told.
            known.usable_at = None
        known.been_ready = instance.ready
        return known


def _is_final(trouble: Trouble | None) -> bool:
    return trouble is not None and trouble.final


def server_name(endpoint: Endpoint) -> str:
    """Return the data plane's name of the instance at an endpoint."""
    return f"{endpoint[0]}:{endpoint[1]}"


def _place(
    instances: Iterable[Instance], told: Sequence[Announcement], now: float
) -> dict[Endpoint, tuple[Instance, bool]]:
    """Return where each instance that lives is, and whether that is a guess."""
    taken = {(item.address, item.port) for item in instances if item.address is not None}
    live = [item for item in instances if not item.terminating]
    placed = {(i.address, i.port): (i, False) for i in live if i.address is not None}
    free = [item for item in told if item.endpoint not in taken and item.at > now - GUESS_SECONDS]
    named = {item.instance: item for item in free if item.instance is not None}
    unnamed = [item for item in free if item.instance is None]
    for instance in live:
        if instance.address is not None:
            continue
        fitting = [item for item in unnamed if item.endpoint[1] == instance.port]
        # The newest first: an older one may be of an instance that died without being told.
        found = named.get(instance.name) or (fitting[-1] if fitting else None)
        if found is not None and found.endpoint[1] == instance.port:
            unnamed = [item for item in unnamed if item is not found]
            placed[found.endpoint] = (instance, True)
    return placed


def _started(standing: Standing) -> float | None:
    """Return when the container ran: an announcement came from it, unless it listened at once."""
    told, at = standing.instance.seen.get("started"), standing.announced_at
    usable = standing.usable_at or 0.0
    early = at if at is not None and usable - at > _AT_ONCE_SECONDS else None
    known = [moment for moment in (told, early) if moment is not None]
    return min(known, default=None)


_AT_ONCE_SECONDS = 0.02
