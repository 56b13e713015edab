"""Where requests of Triggers with an http source go: longest path first, then 405, then 404. Pure.

Both data planes use the same two tables of texts: HAProxy finds the longest beginning by itself
(`map_beg`), the in-process plane by trying. A key is `<method>:<host><path>/`: with the slash that
is put behind every path, `/orders` begins `/orders/7` and not `/ordersheet`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from torpor.resources.http_route import (
    ANY_HOST,
    METHODS,
    OTHER_METHOD,
    HttpRoute,
    methods_of,
)
from torpor.resources.names import FunctionKey

EVENTS = "@events"
"""In place of a function's name: the events role."""
CALLS_PATTERN = "^/v1/namespaces/[^/]+/calls/"
"""Where the results of asynchronous calls are; the same in HAProxy's words."""
_CALLS = re.compile(CALLS_PATTERN)
_SAFE = "/!$&'()*+,=:@%~-._"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes: `path` stands in place of its first `cut` characters (None: of all).

    `function` is None for the events role.
    """

    function: FunctionKey | None
    cut: int | None
    path: str

    def rewritten(self, path: str) -> str:
        """Return the path that is seen there, of a request with this one."""
        rest = "" if self.cut is None else path[self.cut :]
        return self.path + rest or "/"

    def __str__(self) -> str:
        """Return it in the form that HAProxy's Lua reads."""
        return f"{self.function or EVENTS}|{'' if self.cut is None else self.cut}|{self.path}"


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """The path has routes, but none for this method; `allow` is for the header Allow."""

    allow: str


CALLS = Destination(None, 0, "")
"""The results of asynchronous calls; the path is the same there."""


@dataclass(frozen=True, slots=True)
class HttpTable:
    """`destinations` by method and address, and by address alone what is `allowed` there."""

    destinations: Mapping[str, Destination]
    allowed: Mapping[str, str]
    events: bool = False

    @classmethod
    def of(cls, routes: Iterable[HttpRoute], *, events: bool) -> Self:
        """Return the table of routes of which no two want the same.

        Without an `events` role there are none to it.
        """
        kept = [route for route in routes if route.function or events]
        found = {
            f"{method}:{route.host}{route.prefix}": _destination(route)
            for route in kept
            for method in methods_of(route)
        }
        return cls(found, _allowed(kept), events)

    def find(self, method: str, host: str, path: str) -> Destination | NotAllowed | None:
        """Return where a request goes; `host` as in `routes.host_only`, `path` without query."""
        if self.events and _CALLS.match(path):
            return CALLS
        name = method if method in METHODS else OTHER_METHOD
        for place in (host, ANY_HOST):
            for prefix in _prefixes(path):
                if destination := self.destinations.get(f"{name}:{place}{prefix}"):
                    return destination
        for place in (host, ANY_HOST):
            for prefix in _prefixes(path):
                if allow := self.allowed.get(f"{place}{prefix}"):
                    return NotAllowed(allow)
        return None


EMPTY = HttpTable({}, {})


def _destination(route: HttpRoute) -> Destination:
    if route.function is None:
        trigger = route.trigger
        path = f"/v1/namespaces/{trigger.namespace}/triggers/{trigger.name}"
        return Destination(None, None, path)
    base = quote(route.target_path.rstrip("/"), safe=_SAFE)
    return Destination(route.function, len(route.prefix) - 1, base)


def _allowed(routes: Iterable[HttpRoute]) -> dict[str, str]:
    """Return the methods that each address takes, those of the paths above it included."""
    own: defaultdict[str, set[str]] = defaultdict(set)
    for route in routes:
        own[f"{route.host}{route.prefix}"].update(methods_of(route))
    found: dict[str, str] = {}
    for address in own:
        host, _, rest = address.partition("/")
        above = {
            method
            for place in {host, ANY_HOST}
            for prefix in _prefixes(f"/{rest}")
            for method in own.get(f"{place}{prefix}", ())
        }
        found[address] = ",".join(name for name in METHODS if name in above)
    return found


def _prefixes(path: str) -> Iterator[str]:
    """Yield the beginnings of a path that end with a slash, the longest first."""
    padded = f"{path}/"
    end = len(padded)
    while end > 0:
        yield padded[:end]
        end = padded.rfind("/", 0, end - 1) + 1
