"""IP addresses and networks as event patterns read them (event-ruler's `CIDR`).

An address is written as four decimal numbers, leading zeros allowed, or as an IPv6 address without
a dotted tail. An IPv4-mapped IPv6 address is the IPv4 address. The address of a network may have
bits set behind the mask: `10.0.0.7/24` is `10.0.0.0/24`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_V4 = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,10}){3}", re.ASCII)
_V6 = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*", re.ASCII)
_LONGEST = 43
"""Characters of the longest text that is looked at: four numbers of ten digits."""

Address = tuple[int, int]
"""The number of bits (32 or 128) and the address as a number."""


@dataclass(frozen=True, slots=True)
class Network:
    """All addresses of one family from `first` to `last`, both included."""

    bits: int
    first: int
    last: int

    def __contains__(self, address: Address) -> bool:
        return address[0] == self.bits and self.first <= address[1] <= self.last


def address_of(text: str) -> Address | None:
    """The address that a text spells, None where it spells none."""
    if len(text) > _LONGEST:
        return None
    if _V4.fullmatch(text):
        return _v4(text)
    return _v6(text) if _V6.fullmatch(text) else None


def _v4(text: str) -> Address | None:
    octets = [int(octet) for octet in text.split(".")]
    if max(octets) > 255:
        return None
    return 32, int.from_bytes(bytes(octets), "big")


def _v6(text: str) -> Address | None:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped
    return (128, int(address)) if mapped is None else (32, int(mapped))


def network_of(text: str) -> Network:
    """The network that a CIDR block spells; ValueError with event-ruler's reason where none."""
    address_text, slash, mask_text = text.partition("/")
    if not slash or "/" in mask_text:
        raise ValueError("Malformed CIDR, one '/' required")
    mask_bits = _mask_bits(mask_text)
    address = address_of(address_text)
    if address is None:
        raise ValueError(f"Nonstandard IP address: {address_text}")
    bits, number = address
    if mask_bits >= bits:
        version = 4 if bits == 32 else 6
        raise ValueError(f"IPv{version} mask bits must be < {bits}")
    free = (1 << (bits - mask_bits)) - 1
    return Network(bits, number & ~free, number | free)


def _mask_bits(text: str) -> int:
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
        raise ValueError("Malformed CIDR, mask bits must be an integer")
    if text.startswith("-"):
        raise ValueError("Malformed CIDR, mask bits must not be negative")
    return int(digits)
