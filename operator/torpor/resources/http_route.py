"""A Trigger's address at the gateways, and what a Trigger has for itself alone. Pure.

The controller tells in a status what the gateways do, so both take the answers from here: of two
Triggers that want the same address, or the messages of the same queue, the older one gets it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torpor.errors import InvalidResource
from torpor.resources.fields import Fields
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import SourceKind, TargetKind, Trigger
from torpor.resources.trigger_rules import PathType

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OTHER_METHOD = "*"
"""Stands for each method that is not one of METHODS."""
ANY_HOST = "*"
END = "/#"
"""What stands behind a path where addresses are compared: `#` is in no path (RFC 3986, 3.3)."""


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """Requests of an http source: where they come in, and where they go.

    `host` is ANY_HOST for all that are no Function's own; a Prefix `path` ends with a slash.
    `function` is None when the events role takes them; `target_path` stands in place of the path.
    """

    trigger: FunctionKey
    host: str
    path: str
    path_type: PathType
    methods: tuple[str, ...]
    function: FunctionKey | None
    target_path: str = "/"

    @property
    def address(self) -> str:
        """What the host, the path and END of its requests begin with; if Exact, all of that."""
        end = END if self.path_type is PathType.EXACT else ""
        return f"{self.host}{self.path}{end}"


@dataclass(frozen=True, slots=True)
class Claim:
    """What one Trigger wants for itself: `things` are names that mean the same to everyone."""

    trigger: FunctionKey
    created_at: str
    things: frozenset[str]
    route: HttpRoute | None = None

    @property
    def age(self) -> tuple[str, FunctionKey]:
        """What is less of the older; RFC 3339 in UTC sorts as text."""
        return self.created_at, self.trigger


def claim_of(obj: Mapping[str, Any]) -> Claim | None:
    """Return what the Trigger in `obj` wants for itself; None if nothing, or if it is suspended."""
    try:
        trigger = Trigger.parse(obj)
        route = _route_of(trigger)
    except InvalidResource:
        return None  # its status says so
    if trigger.suspended:
        return None
    created_at = str((obj.get("metadata") or {}).get("creationTimestamp") or "")
    if route is not None:
        return Claim(trigger.key, created_at, frozenset(_addresses(route)), route)
    if trigger.source.kind is SourceKind.QUEUE:
        queue = f"queue {trigger.key.namespace}/{trigger.source.settings.get('name')}"
        return Claim(trigger.key, created_at, frozenset({queue}))
    return None


class Claims:
    """Who wants what, and who was first."""

    def __init__(self, claims: Iterable[Claim] = ()) -> None:
        self._claims: dict[FunctionKey, Claim] = {}
        self._by_thing: defaultdict[str, set[FunctionKey]] = defaultdict(set)
        for claim in claims:
            self.put(claim.trigger, claim)

    def put(self, key: FunctionKey, claim: Claim | None) -> set[FunctionKey]:
        """Take in what a Trigger wants now; return the others whom that may concern."""
        before = self._claims.pop(key, None)
        concerned: set[FunctionKey] = set()
        for thing in before.things if before else ():
            others = self._by_thing[thing]
            others.discard(key)
            concerned |= others
            if not others:
                del self._by_thing[thing]
        if claim is not None:
            self._claims[key] = claim
            for thing in claim.things:
                concerned |= self._by_thing[thing]
                self._by_thing[thing].add(key)
        return set() if before == claim else concerned

    def before(self, key: FunctionKey) -> FunctionKey | None:
        """Return an older Trigger that wants some of the same; None if this one gets it all."""
        claim = self._claims.get(key)
        if claim is None:
            return None
        rivals = {other for thing in claim.things for other in self._by_thing[thing]}
        oldest = min((self._claims[other] for other in rivals), key=lambda item: item.age)
        return None if oldest.trigger == key else oldest.trigger

    def routes(self) -> Iterator[HttpRoute]:
        """Yield the addresses of the Triggers that get them."""
        for key, claim in self._claims.items():
            if claim.route is not None and self.before(key) is None:
                yield claim.route


def methods_of(route: HttpRoute) -> tuple[str, ...]:
    """Return the methods that it takes, OTHER_METHOD among them when it takes all."""
    return route.methods or (*METHODS, OTHER_METHOD)


def _route_of(trigger: Trigger) -> HttpRoute | None:
    if trigger.source.kind is not SourceKind.HTTP:
        return None
    found = Fields(trigger.source.settings, "spec.source.http")
    path = found.text("path", "/")
    path_type = found.choice("pathType", PathType, PathType.PREFIX)
    function = FunctionKey(trigger.key.namespace, trigger.target.name)
    direct = not found.boolean("async", default=False)
    direct = direct and trigger.target.kind is TargetKind.FUNCTION
    return HttpRoute(
        trigger=trigger.key,
        host=found.text("host", "").lower() or ANY_HOST,
        path=path if path_type is PathType.EXACT else path.rstrip("/") + "/",
        path_type=path_type,
        methods=tuple(sorted(set(found.texts("methods")))),
        function=function if direct else None,
        target_path=trigger.target.path,
    )


def _addresses(route: HttpRoute) -> Iterator[str]:
    for method in methods_of(route):
        yield f"route {method} {route.address}"
