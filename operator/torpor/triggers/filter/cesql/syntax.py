"""The syntax tree of an expression (CESQL, section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Operator(StrEnum):
    """The binary operators but AND, OR and XOR; `<>` is read as `!=`."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    REMAINDER = "%"


class Logic(StrEnum):
    """The operators of one precedence that join conditions."""

    AND = "AND"
    OR = "OR"
    XOR = "XOR"


@dataclass(frozen=True, slots=True)
class Literal:
    """A boolean, an integer of 32 bits or a string."""

    value: bool | int | str


@dataclass(frozen=True, slots=True)
class Attribute:
    """The value of an attribute of the event; the name is in lower case."""

    name: str


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether the event has an attribute."""

    name: str


@dataclass(frozen=True, slots=True)
class Not:
    """`NOT x`."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Minus:
    """`-x`."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands and what is done with them."""

    operator: Operator
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Chain:
    """Conditions joined by AND, OR and XOR, which go from left to right."""

    first: Node
    rest: tuple[tuple[Logic, Node], ...]


@dataclass(frozen=True, slots=True)
class Like:
    """`x LIKE 'pattern'`."""

    operand: Node
    pattern: str
    negated: bool


@dataclass(frozen=True, slots=True)
class In:
    """`x IN (…)`."""

    operand: Node
    members: tuple[Node, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments; the name is in upper case and may be unknown."""

    name: str
    arguments: tuple[Node, ...]


def children(node: Node) -> tuple[Node, ...]:
    """The expressions that a node is made of."""
    match node:
        case Not(operand) | Minus(operand) | Like(operand, _, _):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case Chain(first, rest):
            return (first, *(right for _, right in rest))
        case In(operand, members, _):
            return (operand, *members)
        case Call(_, arguments):
            return arguments
        case _:
            return ()


Node = Literal | Attribute | Exists | Not | Minus | Binary | Chain | Like | In | Call
