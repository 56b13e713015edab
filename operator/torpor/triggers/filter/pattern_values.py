"""The tests that a pattern makes on one value of an event: a string, a number, true, false, null.

Semantics are event-ruler's, EventBridge's own matcher:

- Strings, numbers and constants are of different kinds: `"1"`, `1` and `true` never equal another.
- Numbers compare by value, whatever their spelling: `300`, `3e2` and `300.0` are one number.
- `prefix`, `suffix`, `wildcard` and `equals-ignore-case` accept strings only; `numeric` numbers.
- `anything-but` accepts every value that is not named, of whatever kind.
- A string that spells an IP address equals every other spelling of that address.

Case is ignored by Unicode case folding. A wildcard is a search for its pieces from left to right,
so no value makes it slower than its length times that of the pattern.
"""

# ruff: noqa: D102, the docstring of a class says what its instances accept
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torpor.triggers.filter.pattern_address import Address, Network, address_of

Number = int | float
Test = Callable[[Any], bool]
"""Whether one value is what a pattern asks for."""


def is_number(value: object) -> bool:
    """Whether a JSON value is a number (in Python true and false are integers too)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Exists:
    """Any value; `{"exists": true}`."""

    def __call__(self, value: Any) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class IsAddress:
    """Another spelling of the same IP address."""

    address: Address

    def __call__(self, value: Any) -> bool:
        return isinstance(value, str) and address_of(value) == self.address


@dataclass(frozen=True, slots=True)
class InNetwork:
    """An IP address of a network; `{"cidr": …}`."""

    network: Network

    def __call__(self, value: Any) -> bool:
        if not isinstance(value, str):
            return False
        address = address_of(value)
        return address is not None and address in self.network


@dataclass(frozen=True, slots=True)
class Prefix:
    """A string that starts with one of these."""

    texts: tuple[str, ...]

    def __call__(self, value: Any) -> bool:
        return isinstance(value, str) and value.startswith(self.texts)


@dataclass(frozen=True, slots=True)
class Suffix:
    """A string that ends with one of these."""

    texts: tuple[str, ...]

    def __call__(self, value: Any) -> bool:
        return isinstance(value, str) and value.endswith(self.texts)


@dataclass(frozen=True, slots=True)
class IgnoringCase:
    """A string that equals one of these, folded."""

    folded: frozenset[str]

    def __call__(self, value: Any) -> bool:
        return isinstance(value, str) and value.casefold() in self.folded


@dataclass(frozen=True, slots=True)
class PrefixIgnoringCase:
    """A string that starts with this, folded."""

    folded: str

    def __call__(self, value: Any) -> bool:
        return isinstance(value, str) and value.casefold().startswith(self.folded)


@dataclass(frozen=True, slots=True)
class SuffixIgnoringCase:
    """A string that ends with this, folded."""

    folded: str

    def __call__(self, value: Any) -> bool:
        return isinstance(value, str) and value.casefold().endswith(self.folded)


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A string made of these pieces, in order, with anything between them."""

    pieces: tuple[str, ...]

    def __call__(self, value: Any) -> bool:
        if not isinstance(value, str):
            return False
        head, tail = self.pieces[0], self.pieces[-1]
        if len(self.pieces) == 1:
            return value == head
        if len(value) < len(head) + len(tail):
            return False
        return value.startswith(head) and value.endswith(tail) and self._inner(value)

    def _inner(self, value: str) -> bool:
        at, end = len(self.pieces[0]), len(value) - len(self.pieces[-1])
        for piece in self.pieces[1:-1]:
            found = value.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True


@dataclass(frozen=True, slots=True)
class InRange:
    """A number between two bounds; a bound that is None is no bound, an open one is excluded."""

    bottom: Number | None
    bottom_open: bool
    top: Number | None
    top_open: bool

    def __call__(self, value: Any) -> bool:
        return is_number(value) and self._above(value) and self._below(value)

    def _above(self, value: Number) -> bool:
        if self.bottom is None:
            return True
        return value > self.bottom if self.bottom_open else value >= self.bottom

    def _below(self, value: Number) -> bool:
        if self.top is None:
            return True
        return value < self.top if self.top_open else value <= self.top


@dataclass(frozen=True, slots=True)
class NotOneOf:
    """Anything but these strings, or anything but these numbers."""

    values: frozenset[str | Number]

    def __call__(self, value: Any) -> bool:
        return isinstance(value, bool) or value not in self.values


@dataclass(frozen=True, slots=True)
class Not:
    """Anything but what one of these accepts."""

    tests: tuple[Test, ...]

    def __call__(self, value: Any) -> bool:
        return not any(test(value) for test in self.tests)


def wildcard(text: str) -> Wildcard:
    """A wildcard from its text, in which a backslash takes the meaning from `*` and from itself.

    ValueError with event-ruler's reason where two wildcard characters follow each other, or where
    a backslash stands before another character.
    """
    pieces = [""]
    at = 0
    while at < len(text):
        here, after = text[at], text[at + 1 : at + 2]
        if here == "*":
            if after == "*":
                raise ValueError(f"Consecutive wildcard characters at pos {at}")
            pieces.append("")
        elif here == "\\":
            if after not in ("*", "\\"):
                raise ValueError(f"Invalid escape character at pos {at}")
            pieces[-1] += after
            at += 1
        else:
            pieces[-1] += here
        at += 1
    return Wildcard(tuple(pieces))
