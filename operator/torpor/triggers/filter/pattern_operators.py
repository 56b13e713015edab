"""Reads one entry of a pattern's list: a value, or an operator such as `{"prefix": "a"}`.

What is refused, and the reasons, are event-ruler's (`JsonRuleCompiler`). Each reader raises
`Refused` with the reason; the caller knows the path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torpor.triggers.filter.pattern_address import address_of, network_of
from torpor.triggers.filter.pattern_error import Refused
from torpor.triggers.filter.pattern_numeric import comparable, read_numeric
from torpor.triggers.filter.pattern_text import Member, Members
from torpor.triggers.filter.pattern_values import (
    Exists,
    IgnoringCase,
    InNetwork,
    IsAddress,
    Not,
    NotOneOf,
    Prefix,
    PrefixIgnoringCase,
    Suffix,
    SuffixIgnoringCase,
    Test,
    is_number,
    wildcard,
)

_ONE_KEY = "Only one key allowed in match expression"


class Absent:
    """What `{"exists": false}` asks for: no value at all, so there is nothing to test."""


Entry = Test | Absent


def members_of(value: Any) -> Sequence[Member] | None:
    """The members of a JSON object, None where the value is of another kind."""
    if isinstance(value, Members):
        return value
    return tuple(value.items()) if isinstance(value, Mapping) else None


def address_test(text: str) -> tuple[Test, ...]:
    """The test for other spellings of the address that an exact string spells, if it does."""
    address = address_of(text)
    return () if address is None else (IsAddress(address),)


def read_operator(members: Sequence[Member]) -> str | Entry:
    """What an operator accepts; `{"exactly": "a"}` is the plain string."""
    if not members:
        raise Refused("Match expression name not found")
    name, value = members[0]
    reader = _READERS.get(name)
    if reader is None:
        raise Refused(f"Unrecognized match type {name}")
    entry = reader(value)
    if len(members) > 1:
        raise Refused(_ONE_KEY)
    return entry


def _exactly(value: Any) -> str:
    return _string(value, "exact match pattern must be a string")


def _string(value: Any, reason: str) -> str:
    if not isinstance(value, str):
        raise Refused(reason)
    return value


def _prefix(value: Any) -> Test:
    members = members_of(value)
    if members is not None:
        return PrefixIgnoringCase(_ignoring_case(members, "Prefix", "prefix"))
    return Prefix((_string(value, "prefix match pattern must be a string"),))


def _suffix(value: Any) -> Test:
    members = members_of(value)
    if members is not None:
        return SuffixIgnoringCase(_ignoring_case(members, "Suffix", "suffix"))
    return Suffix((_string(value, "suffix match pattern must be a string"),))


def _ignoring_case(members: Sequence[Member], title: str, name: str) -> str:
    if not members:
        raise Refused(f"{title} expression name not found")
    operator, value = members[0]
    if operator != "equals-ignore-case":
        raise Refused(f"Unsupported {name} pattern: {operator}")
    text = _string(value, "equals-ignore-case match pattern must be a string")
    if len(members) > 1:
        raise Refused(_ONE_KEY)
    return text.casefold()


def _equals_ignore_case(value: Any) -> Test:
    text = _string(value, "equals-ignore-case match pattern must be a string")
    return IgnoringCase(frozenset({text.casefold()}))


def _wildcard(value: Any) -> Test:
    text = _string(value, "wildcard match pattern must be a string")
    try:
        return wildcard(text)
    except ValueError as error:
        raise Refused(str(error)) from error


def _cidr(value: Any) -> Test:
    try:
        return InNetwork(network_of(_string(value, "cidr match pattern must be a string")))
    except ValueError as error:
        raise Refused(str(error)) from error


def _exists(value: Any) -> Entry:
    if not isinstance(value, bool):
        raise Refused("exists match pattern must be either true or false.")
    return Exists() if value else Absent()


def _anything_but(value: Any) -> Test:
    members = members_of(value)
    if members is None:
        return _other_value(value)
    if not members:
        raise Refused("Anything-But expression name not found")
    operator, operand = members[0]
    reader = _NEGATED.get(operator)
    if reader is None:
        raise Refused(f"Unsupported anything-but pattern: {operator}")
    tests = reader(operand)
    if len(members) > 1:
        raise Refused(_ONE_KEY)
    return Not(tests)


def _other_value(value: Any) -> Test:
    if not (isinstance(value, str | list) or is_number(value)):
        raise Refused("Value of anything-but must be an array or single string/number value.")
    values = value if isinstance(value, list) else [value]
    numbers = [comparable(each) for each in values if is_number(each)]
    strings = [each for each in values if isinstance(each, str)]
    if len(numbers) + len(strings) < len(values):
        raise Refused("Inside anything but list, start|null|boolean is not supported.")
    if bool(numbers) == bool(strings):
        raise Refused(
            "Inside anything but list, either all values are number or string, "
            "mixed type is not supported"
        )
    return NotOneOf(frozenset(numbers or strings))


def _strings(value: Any, reason: str) -> list[str]:
    values = value if isinstance(value, list) else [value]
    texts = [_string(each, reason) for each in values]
    if not texts:
        raise Refused("Empty arrays are not allowed")
    return texts


def _prefixes(value: Any) -> tuple[Test, ...]:
    return (Prefix(_not_empty(value)),)


def _suffixes(value: Any) -> tuple[Test, ...]:
    return (Suffix(_not_empty(value)),)


def _not_empty(value: Any) -> tuple[str, ...]:
    texts = _strings(value, "prefix/suffix match pattern must be a string")
    if "" in texts:
        raise Refused("Null prefix/suffix not allowed")
    return tuple(texts)


def _wildcards(value: Any) -> tuple[Test, ...]:
    texts = _strings(value, "wildcard match pattern must be a string")
    return tuple(_wildcard(text) for text in texts)


def _equals_any_case(value: Any) -> tuple[Test, ...]:
    texts = _strings(
        value,
        "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.",
    )
    return (IgnoringCase(frozenset(text.casefold() for text in texts)),)


_NEGATED: dict[str, Callable[[Any], tuple[Test, ...]]] = {
    "prefix": _prefixes,
    "suffix": _suffixes,
    "wildcard": _wildcards,
    "equals-ignore-case": _equals_any_case,
}
_READERS: dict[str, Callable[[Any], str | Entry]] = {
    "exactly": _exactly,
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "cidr": _cidr,
    "exists": _exists,
    "numeric": read_numeric,
    "anything-but": _anything_but,
}
OPERATORS = frozenset(_READERS)
"""The names of all operators."""
