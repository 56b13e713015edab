"""What a JSONPath consists of once it is read: segments, and the conditions of filters."""

from __future__ import annotations

from dataclasses import dataclass

from torpor.expressions.regex import Regex
from torpor.workflows.asl.scope import Json


@dataclass(frozen=True, slots=True)
class Names:
    """`.a`, `['a']` or `['a','b']`."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Indices:
    """`[0]`, `[-1]` or `[0,2]`."""

    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """`[1:3]`, `[-2:]` or `[:2]`."""

    bounds: slice


@dataclass(frozen=True, slots=True)
class Wildcard:
    """`.*` or `[*]`."""


@dataclass(frozen=True, slots=True)
class Descend:
    """`..`: the next segment is applied to every node below."""


@dataclass(frozen=True, slots=True)
class Filter:
    """`[?(…)]`."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Call:
    """`.length()` and its like, at the end of a path."""

    function: str
    arguments: tuple[Json, ...]


Segment = Names | Indices | Slice | Wildcard | Descend | Filter | Call


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed path: `root` is `$`, `$$`, `@` or a variable's name with its `$`."""

    root: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression in a filter."""

    regex: Regex


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant in a filter."""

    value: Json


Operand = Query | Literal | Pattern


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator right`; without operator, whether `left` exists."""

    left: Operand
    operator: str | None = None
    right: Operand | None = None


@dataclass(frozen=True, slots=True)
class Logic:
    """`&&`, `||` or `!` over conditions."""

    operator: str
    conditions: tuple[Condition, ...]


Condition = Comparison | Logic
