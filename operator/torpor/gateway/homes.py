"""How gateways share a function's hard limits, so that together they do not exceed one. Pure.

That holds among those that agree on who serves. A gateway that is leaving is not among them, and
ends what it has inside beside them; so does one whose functions another that came took over.

There are two: of requests in one instance, and of requests in the whole function. A limit of at
least two for each gateway is divided. If one is smaller, the function belongs to one gateway, its
home, and the others forward to it. Every gateway computes the same from the same names; the home is
chosen by rendezvous hashing (Thaler and Ravishankar, 1998), so that a gateway that comes or goes
moves only the functions that it gains or loses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
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

    def shares(self, *limits: int) -> tuple[int, ...]:
        """Return what falls to this gateway of each limit of one function (0: no limit, or none).

        Where the function has a home, only the home sends, and has each limit whole.
        """
        names = sorted(self.addresses)
        if self._is_homed(limits):
            return limits
        position = names.index(self.me)
        divided = (divmod(limit, len(names)) for limit in limits)
        return tuple(whole + (1 if position < rest else 0) for whole, rest in divided)

    def home(self, key: FunctionKey, *limits: int) -> str | None:
        """Return the name of the gateway to forward to; None when this one serves itself."""
        if not self._is_homed(limits):
            return None
        name = home_of(key, self.addresses)
        return None if name == self.me else name

    def _is_homed(self, limits: Iterable[int]) -> bool:
        return any(is_homed(limit, len(self.addresses)) for limit in limits)


def is_homed(limit: int, gateways: int) -> bool:
    """Return whether a limit is too small to divide among so many gateways."""
    return gateways > 1 and 0 < limit < 2 * gateways


def home_of(key: FunctionKey, names: Collection[str]) -> str:
    """Return the gateway among `names` (not empty) that owns the function."""
    return max(sorted(names), key=lambda name: _weight(key, name))


def _weight(key: FunctionKey, name: str) -> bytes:
    return blake2b(f"{key}|{name}".encode(), digest_size=8).digest()
