"""Which hosts `http:invoke` may call: public ones, and those that the installation allows.

A definition's author is not trusted with the engine's place in the network: from there the cloud's
metadata, the engines' own API, Services and pods of the cluster and the company's networks could be
reached. So an address has to be one of the public Internet, unless it or its host is allowed.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Self

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Python calls some of these global. Addresses that lead to an IPv4 address of the network's choice:
# NAT64 for local use, Teredo, 6to4; then the former private ones (site-local).
_NOT_PUBLIC = tuple(
    map(ipaddress.ip_network, ("64:ff9b:1::/48", "2001::/32", "2002::/16", "fec0::/10"))
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Refused(OSError):
    """An address that tasks must not call."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.strerror = reason  # what aiohttp quotes


class BadReach(ValueError):
    """An item of a list that is neither a host name nor a network."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What tasks may call besides the public Internet, and what of that they may not.

    `hosts` are names in lower case, which may have any address; `allowed` wins over `refused`.
    """

    hosts: frozenset[str] = frozenset()
    allowed: tuple[Network, ...] = ()
    refused: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, allow: str = "", refuse: str = "") -> Self:
        """Of lists with commas: hosts and networks to allow, networks to refuse; BadReach."""
        named = [_network(item) or _host(item) for item in _items(allow)]
        hosts = frozenset(item for item in named if isinstance(item, str))
        allowed = tuple(item for item in named if not isinstance(item, str))
        return cls(hosts, allowed, tuple(_refused(item) for item in _items(refuse)))

    def check(self, host: str, address: Address) -> None:
        """Raise Refused unless `host` may be called at `address`."""
        address = _plain(address)
        if _name(host) in self.hosts or any(address in network for network in self.allowed):
            return
        if not is_public(address) or any(address in network for network in self.refused):
            raise Refused(f"{address} is an address that tasks must not call")


EVERYWHERE = Reach(allowed=(ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0")))
"""For the machine of somebody who tries workflows out."""


def is_public(address: Address) -> bool:
    """Whether an address is one of the public Internet."""
    address = _plain(address)
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address certainly means; otherwise the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def _refused(text: str) -> Network:
    found = _network(text)
    if found is None:
        raise BadReach(f"{text!r} is not a network")
    return found


def _host(text: str) -> str:
    name = _name(text)
    if not name.replace("-", "").replace(".", "").isalnum() or name.replace(".", "").isdigit():
        raise BadReach(f"{text!r} is neither a host name nor a network")
    return name


def _name(host: str) -> str:
    return host.rstrip(".").lower()
