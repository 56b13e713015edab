"""How many requests each Function had, also while it sleeps: gateways tell only of those awake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from torpor.resources.load import FunctionLoad
from torpor.resources.names import FunctionKey


@dataclass(slots=True)
class Requests:
    """The highest count that was seen of each; a gateway that begins anew counts from 0."""

    _seen: dict[FunctionKey, int] = field(default_factory=dict)

    def kept(
        self, loads: Mapping[FunctionKey, FunctionLoad], known: Iterable[FunctionKey]
    ) -> Mapping[FunctionKey, FunctionLoad]:
        """Return the loads of all Functions, which are `known`, with those counts."""
        found = {key: loads.get(key, FunctionLoad()) for key in known}
        self._seen = {
            key: max(load.requests, self._seen.get(key, 0)) for key, load in found.items()
        }
        return {key: replace(load, requests=self._seen[key]) for key, load in found.items()}
