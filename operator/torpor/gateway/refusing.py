"""When requests of one function are refused instead of held on, and what they are told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torpor.errors import ApiNotFound
from torpor.gateway import refusals
from torpor.gateway.announcements import Endpoint
from torpor.gateway.dataplane.base import Refused
from torpor.gateway.episode import Episode
from torpor.gateway.lane import LaneKeeper
from torpor.gateway.probe import Heard, Probes
from torpor.gateway.roster import Roster
from torpor.gateway.terms import Terms
from torpor.gateway.wake import Waker
from torpor.platform.base import Instance, Trouble
from torpor.resources.names import FunctionKey

LOOK_SECONDS = 1.0
"""How long a function that could not start is looked at again before the next refusal."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a refusal is founded on."""

    key: FunctionKey
    roster: Roster
    probes: Probes
    waker: Waker
    lane: LaneKeeper
    episode: Episode


class Refusing:
    """Judges by the evidence; a function that cannot start is looked at again now and then."""

    __slots__ = ("_refuse_until", "_seen", "look_until")

    def __init__(self, seen: Evidence) -> None:
        self._seen = seen
        self._refuse_until = -math.inf
        self.look_until = -math.inf

    def at_once(self, terms: Terms, held: int, now: float) -> Refused | None:
        """Return why a new request may not even wait beside the `held`; None if it may."""
        key, roster = self._seen.key, self._seen.roster
        if terms.blocked is not None and not roster.endpoints():
            return refusals.cannot_start(key, terms.blocked)
        trouble = roster.hopeless()
        if trouble is not None and now < self._refuse_until:
            return refusals.cannot_start(key, trouble)
        looked = trouble is not None and not math.isinf(self._refuse_until)
        if not held and (looked or terms.podless):
            self.look_until = now + LOOK_SECONDS
        return refusals.full(key, terms.hold_requests) if held >= terms.hold_requests else None

    def hopeless(self, terms: Terms, now: float) -> Refused | None:
        """Return why all who wait may stop waiting; None while there is hope."""
        if self._seen.lane.exhausted:
            self._seen.episode.fail("slots-exhausted")
            return refusals.slots_exhausted()
        trouble = self._seen.roster.hopeless() or self._podless(terms, now)
        if trouble is None or now < self.look_until:
            return None
        self._refuse_until = now + refusals.TROUBLE_SECONDS
        self._seen.episode.fail(trouble.reason)
        return refusals.cannot_start(self._seen.key, trouble)

    def _podless(self, terms: Terms, now: float) -> Trouble | None:
        """Return why no instance can be made, once that was tried for those who wait."""
        asked_at = self._seen.waker.answered_at
        if terms.podless is None or asked_at is None or now < asked_at + LOOK_SECONDS:
            return None
        return None if self._seen.roster.live else terms.podless

    def expired(self, terms: Terms) -> Refused:
        """Return the refusal for those who waited as long as they may."""
        seen = self._seen
        trouble = seen.roster.trouble() or terms.blocked
        if trouble is not None:
            seen.episode.fail(trouble.reason)
            return refusals.cannot_start(seen.key, trouble)
        api = seen.waker.problem
        if api is not None and not isinstance(api, ApiNotFound):
            seen.episode.fail("api-unavailable")
            return refusals.api_away(seen.key, api)
        if seen.lane.problem is not None:
            return refusals.plane_away(seen.key, seen.lane.problem)
        seen.episode.fail("hold-timeout")
        missing = what_is_missing(seen.roster.live, seen.roster.places(), seen.probes.heard)
        return refusals.timed_out(seen.key, terms.hold_seconds, missing)


def what_is_missing(
    live: tuple[Instance, ...],
    places: Mapping[Endpoint, Instance],
    heard: Mapping[Endpoint, Heard],
) -> str:
    """Return what requests still wait for, by the instance that came furthest."""
    for endpoint, instance in places.items():
        if heard.get(endpoint) is Heard.REFUSED:
            return (
                f"nothing listens on port {endpoint[1]} of instance {instance.name} (connection "
                "refused); it must listen on $PORT, and not on 127.0.0.1 alone"
            )
    for endpoint, instance in places.items():
        if heard.get(endpoint) is Heard.SILENT:
            return f"instance {instance.name} does not answer on port {endpoint[1]} (no connection)"
    if not live:
        return "no instance of it exists"
    return f"instance {live[0].name} {_stage(live[0])}"


def _stage(instance: Instance) -> str:
    if "scheduled" not in instance.seen:
        return "has no node"
    if "started" not in instance.seen:
        return "has not started its container: its node still fetches or makes it, or cannot"
    return "has started, but has no address" if instance.address is None else "takes no requests"
