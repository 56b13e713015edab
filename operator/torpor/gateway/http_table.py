"""Where requests of Triggers with an http source go: longest path first, then 405, then 404. Pure.

Both data planes use the same table of texts: HAProxy finds the longest beginning by itself
(`map_beg`), the in-process plane by trying. What is looked for is `<method>:<host><path>/#`. The
key of a Prefix ends with the slash, so `/orders` begins `/orders/7` and not `/ordersheet`; that of
an Exact path with both, so it is found for this path alone, and before a Prefix that is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from torpor.resources.http_route import (
    ANY_HOST,
    END,
    METHODS,
    OTHER_METHOD,
    HttpRoute,
    methods_of,
)
from torpor.resources.names import FunctionKey
from torpor.resources.trigger_rules import PathType

EVENTS = "@events"
"""In place of a function's name: the events role."""
CALLS_PATTERN = "^/v1/namespaces/[^/]+/calls/"
"""Where the results of asynchronous calls are; the same in HAProxy's words."""
_CALLS = re.compile(CALLS_PATTERN)
OWN_PREFIX = "/v1/namespaces/"
"""What is below it is the events role's, and no Trigger's, however short its path is."""
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
    """There is a way from here, but not for this method; `allow` is for the header Allow."""

    allow: str


CALLS = Destination(None, 0, "")
"""The results of asynchronous calls; the path is the same there."""


@dataclass(frozen=True, slots=True)
class HttpTable:
    """The `destinations` by method and address."""

    destinations: Mapping[str, Destination]
    events: bool = False

    @classmethod
    def of(cls, routes: Iterable[HttpRoute], *, events: bool) -> Self:
        """Return the table of routes of which no two want the same.

        Without an `events` role there are none to it.
        """
        found = {
            f"{method}:{route.address}": _destination(route)
            for route in routes
            if route.function or events
            for method in methods_of(route)
        }
        return cls(found, events)

    def find(self, method: str, host: str, path: str) -> Destination | NotAllowed | None:
        """Return where a request goes; `host` as in `routes.host_only`, `path` without query."""
        if self.events and _CALLS.match(path):
            return CALLS
        if path.startswith(OWN_PREFIX):
            return None
        name = method if method in METHODS else OTHER_METHOD
        if destination := self._served(name, host, path):
            return destination
        allow = ",".join(each for each in METHODS if self._served(each, host, path))
        return NotAllowed(allow) if allow else None

    def _served(self, method: str, host: str, path: str) -> Destination | None:
        for place in (host, ANY_HOST):
            for beginning in _beginnings(f"{path}{END}"):
                if destination := self.destinations.get(f"{method}:{place}{beginning}"):
                    return destination
        return None


EMPTY = HttpTable({})


def _destination(route: HttpRoute) -> Destination:
    if route.function is None:
        trigger = route.trigger
        path = f"/v1/namespaces/{trigger.namespace}/triggers/{trigger.name}"
        return Destination(None, None, path)
    if route.path_type is PathType.EXACT:
        return Destination(route.function, None, quote(route.target_path, safe=_SAFE))
    base = quote(route.target_path.rstrip("/"), safe=_SAFE)
    return Destination(route.function, len(route.path) - 1, base)


def _beginnings(text: str) -> Iterator[str]:
    """Yield a text, and its beginnings that end with a slash, the longest first."""
    end = len(text)
    while end > 0:
        yield text[:end]
        end = text.rfind("/", 0, end - 1) + 1
