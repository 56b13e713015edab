"""What all functions' limits and homes come to on this gateway, for the data plane. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torpor.gateway.homes import Membership
from torpor.gateway.terms import Terms
from torpor.resources.names import FunctionKey


@dataclass(frozen=True, slots=True)
class Division:
    """The terms of all functions, divided among the gateways, which listen on `peer_port`."""

    membership: Membership
    terms: Mapping[FunctionKey, Terms]
    peer_port: int

    def reserved(self) -> Mapping[FunctionKey, int]:
        """Return this gateway's share of each reserved concurrency."""
        return {
            key: self.membership.shares(*terms.limits)[1]
            for key, terms in self.terms.items()
            if terms.reserved is not None
        }

    def homes(self) -> Mapping[FunctionKey, str]:
        """Return the gateway of each function that is another's."""
        names = {key: self.membership.home(key, *terms.limits) for key, terms in self.terms.items()}
        return {key: name for key, name in names.items() if name is not None}

    def peers(self) -> Mapping[str, tuple[str, int]]:
        """Return where the other gateways are."""
        return {
            name: (address, self.peer_port)
            for name, address in self.membership.addresses.items()
            if name != self.membership.me
        }
