"""How gateways share a function's hard limit, so that all of them together never exceed it. Pure.

A limit of at least two for each gateway is divided. A smaller one belongs whole to one gateway,
the function's home, and the others forward to it. Every gateway computes the same from the same
names; the home is chosen by rendezvous hashing (Thaler and Ravishankar, 1998), so that a gateway
that comes or goes moves only the functions that it gains or loses.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from torpor.resources.names import FunctionKey


@dataclass(frozen=True, slots=True)
class Membership:
    """The gateways that serve, by name, with their addresses; `me` is always one of them."""

    me: str
    addresses: Mapping[str, str]

    @classmethod
    def of(cls, me: str, my_address: str, others: Mapping[str, str]) -> Membership:
        """Return the membership of `others` and this gateway."""
        return cls(me, {**others, me: my_address})

    def share(self, limit: int) -> int:
        """Return how many requests at once this gateway may send to one instance (0: no limit).

        Where the function has a home, only the home sends, and has the whole limit.
        """
        names = sorted(self.addresses)
        if limit == 0 or is_homed(limit, len(names)):
            return limit
        whole, rest = divmod(limit, len(names))
        return whole + (1 if names.index(self.me) < rest else 0)

    def home(self, key: FunctionKey, limit: int) -> str | None:
        """Return the name of the gateway to forward to; None when this one serves itself."""
        if not is_homed(limit, len(self.addresses)):
            return None
        name = home_of(key, self.addresses)
        return None if name == self.me else name


def is_homed(limit: int, gateways: int) -> bool:
    """Return whether a limit is too small to divide among so many gateways."""
    return gateways > 1 and 0 < limit < 2 * gateways


def home_of(key: FunctionKey, names: Collection[str]) -> str:
    """Return the gateway among `names` (not empty) that owns the function."""
    return max(sorted(names), key=lambda name: _weight(key, name))


def _weight(key: FunctionKey, name: str) -> bytes:
    return blake2b(f"{key}|{name}".encode(), digest_size=8).digest()
