"""The members of requests and their constraints, checked before anything else is done.

AWS checks a request against its model first and reports every member that is wrong in one
ValidationException; a value of the wrong JSON type is a SerializationException.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torpor.aws.errors import Refused, violations

Values = Mapping[str, Any]


class Shape(Protocol):
    """A member's type and constraints."""

    def check(self, value: Any, where: str) -> Iterator[str]:
        """Every constraint that the value breaks, in AWS's words; SerializationException raised."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string; lengths in characters. Hidden ones are not quoted in messages."""

    least: int = 0
    most: int | None = None
    pattern: str | None = None
    hidden: bool = False

    def check(self, value: Any, where: str) -> Iterator[str]:
        """See `Shape`."""
        _expect(value, str, where)
        quoted = "Value" if self.hidden else f"Value '{value}'"
        if len(value) < self.least:
            yield _broken(quoted, where, f"have length greater than or equal to {self.least}")
        if self.most is not None and len(value) > self.most:
            yield _broken(quoted, where, f"have length less than or equal to {self.most}")
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            yield _broken(quoted, where, f"satisfy regular expression pattern: {self.pattern}")
        if "\0" in value:  # PostgreSQL has no place for it in a text
            yield _broken(quoted, where, r"satisfy regular expression pattern: [^\x00]*")


@dataclass(frozen=True, slots=True)
class OneOf:
    """A string of a fixed set."""

    values: tuple[str, ...]

    def check(self, value: Any, where: str) -> Iterator[str]:
        """See `Shape`."""
        _expect(value, str, where)
        if value not in self.values:
            listed = ", ".join(self.values)
            yield _broken(f"Value '{value}'", where, f"satisfy enum value set: [{listed}]")


@dataclass(frozen=True, slots=True)
class Number:
    """A number between two bounds; whole unless `fraction`."""

    least: float = 0
    most: float | None = None
    fraction: bool = False

    def check(self, value: Any, where: str) -> Iterator[str]:
        """See `Shape`."""
        _expect(value, (int, float) if self.fraction else int, where)
        if isinstance(value, bool):
            raise _unreadable(where)
        if value < self.least:
            yield _broken(
                f"Value '{value}'", where, f"have value greater than or equal to {self.least}"
            )
        if self.most is not None and value > self.most:
            yield _broken(
                f"Value '{value}'", where, f"have value less than or equal to {self.most}"
            )


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean."""

    def check(self, value: Any, where: str) -> Iterator[str]:
        """See `Shape`."""
        _expect(value, bool, where)
        return iter(())


@dataclass(frozen=True, slots=True)
class Group:
    """A structure; members named in `required` must be there. Unknown members are ignored."""

    members: Mapping[str, Shape]
    required: tuple[str, ...] = ()

    def check(self, value: Any, where: str) -> Iterator[str]:
        """See `Shape`."""
        _expect(value, dict, where)
        prefix = f"{where}." if where else ""
        for name, shape in self.members.items():
            if value.get(name) is not None:
                yield from shape.check(value[name], prefix + name)
            elif name in self.required:
                yield _broken("Value null", prefix + name, "not be null")


@dataclass(frozen=True, slots=True)
class Many:
    """A list; lengths in items."""

    item: Shape
    least: int = 0
    most: int | None = None
    show: Callable[[Any], str] = str

    def check(self, value: Any, where: str) -> Iterator[str]:
        """See `Shape`."""
        _expect(value, list, where)
        quoted = f"Value '[{', '.join(map(self.show, value))}]'"
        if len(value) < self.least:
            yield _broken(quoted, where, f"have length greater than or equal to {self.least}")
        if self.most is not None and len(value) > self.most:
            yield _broken(quoted, where, f"have length less than or equal to {self.most}")
        for index, item in enumerate(value, 1):
            if item is None:
                raise _unreadable(where)
            yield from self.item.check(item, f"{where}.{index}.member")


def check(shape: Group, request: Any) -> Values:
    """The members of a request that were given (null is as good as absent)."""
    found = list(shape.check(request, ""))
    if found:
        raise violations(found)
    return {name: request[name] for name in shape.members if request.get(name) is not None}


def shape_of(required: Sequence[str] = (), /, **members: Shape) -> Group:
    """The shape of a request."""
    return Group(members, tuple(required))


def _expect(value: Any, kind: type | tuple[type, ...], where: str) -> None:
    if not isinstance(value, kind):
        raise _unreadable(where)


def _unreadable(where: str) -> Refused:
    place = f" of the member '{where}'" if where else ""
    return Refused("SerializationException", f"The value{place} has the wrong type")


def _broken(quoted: str, where: str, rule: str) -> str:
    return f"{quoted} at '{where}' failed to satisfy constraint: Member must {rule}"
