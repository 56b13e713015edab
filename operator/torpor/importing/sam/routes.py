"""Paths of API Gateway as addresses of Triggers, which are exact or prefixes. Pure.

A path without a parameter is an exact address. `/items/{id}` is `/items` and all below it; what of
that matches is looked at beside the handler (`adapters/`). So two functions cannot share the part
before the first parameter for one method: that is told, and the second is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torpor.importing.sam.notes import Notes
from torpor.resources.trigger_rules import PathType

ALL = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ANY = "ANY"
_OWN = ("/function/", "/v1/namespaces/")


@dataclass(frozen=True, slots=True)
class Address:
    """What a Trigger's source says of its path."""

    path: str
    path_type: PathType

    def __str__(self) -> str:
        """Return it in words."""
        below = " and all below it" if self.path_type is PathType.PREFIX else ""
        return f"{self.path}{below}"


@dataclass(frozen=True, slots=True)
class Route:
    """One route of an API; `form` is the payload format, 1.0 (REST) or 2.0 (HTTP)."""

    method: str
    path: str
    form: str

    @property
    def address(self) -> Address:
        """The path; where it has a parameter, what is before the first one and all below that."""
        if self.path == "$default":
            return Address("/", PathType.PREFIX)
        before, parameter, _ = self.path.partition("{")
        if not parameter:
            return Address(self.path, PathType.EXACT)
        return Address(before.rstrip("/") or "/", PathType.PREFIX)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it takes."""
        return ALL if self.method == ANY else (self.method,)


@dataclass(slots=True)
class Routes:
    """All routes of a template: each function's, and who has an address already."""

    notes: Notes
    by_function: dict[str, list[Route]] = field(default_factory=dict)
    _taken: dict[tuple[str, Address], tuple[str, str]] = field(default_factory=dict)

    def add(self, function: str, place: str, route: Route) -> None:
        """Take in a route, or say why it cannot be."""
        address = route.address
        if f"{address.path}/".startswith(_OWN):
            self.notes.left_out(place, f"{address.path} is the gateway's own: choose another path")
            return
        for method in route.methods:
            other, told = self._taken.get((method, address), (function, ""))
            if other != function:
                self.notes.left_out(
                    place,
                    f"{method} {route.path}: {told} of {other} has {method} {address} already; "
                    "have one function answer both, or give one of them a path of its own",
                )
                return
        for method in route.methods:
            self._taken[method, address] = (function, f"{route.method} {route.path}")
        self.by_function.setdefault(function, []).append(route)

    def addresses(self, function: str) -> Sequence[tuple[Address, tuple[str, ...]]]:
        """Return a function's addresses, each with its methods; empty: all of them."""
        found: dict[Address, set[str]] = {}
        for route in self.by_function.get(function, ()):
            found.setdefault(route.address, set()).update(route.methods)
        return [
            (address, () if methods == set(ALL) else tuple(it for it in ALL if it in methods))
            for address, methods in found.items()
        ]
