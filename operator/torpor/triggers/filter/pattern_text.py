"""Reads a pattern's JSON text with the limits that untrusted text needs.

Objects keep a name that is given twice: EventBridge reads a pattern as a stream and takes both.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from torpor.triggers.filter.pattern_error import PatternError, Problem

Member = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one pattern may be."""

    text_bytes: int = 4096
    """The JSON text, as in EventBridge."""
    depth: int = 64
    """Objects in objects."""
    combinations: int = 1000
    """Combinations of the branches of `$or`, as in EventBridge."""


DEFAULT_LIMITS = Limits()


class Members(tuple[Member, ...]):
    """An object's names and values in order, with every name that was given."""

    __slots__ = ()


def members_of_text(text: str, limits: Limits) -> Members:
    """The members of the object that a text is; PatternError where it is none."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limits.text_bytes:
        raise _refused(f"Event pattern has {size} bytes, at most {limits.text_bytes} are allowed")
    try:
        value = json.loads(text, object_pairs_hook=Members, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        position = f"line {error.lineno} column {error.colno}"
        raise _refused(f"Invalid JSON: {error.msg} in {position}") from error
    except (ValueError, RecursionError) as error:
        raise _refused(f"Invalid JSON: {error}") from error
    if not isinstance(value, Members):
        raise _refused("Filter is not an object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _refused(reason: str) -> PatternError:
    return PatternError([Problem("$", reason)])
