"""Reading untyped JSON with the place of the error: the one parser that all kinds share."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

from torpor.errors import InvalidResource

E = TypeVar("E", bound=Enum)
T = TypeVar("T")


class Fields:
    """A JSON object together with its path, so that each refusal says where it is.

    A field that is absent and one that is null are the same, as in the Kubernetes API.
    """

    __slots__ = ("_body", "_path")

    def __init__(self, body: Any, path: str) -> None:
        if not isinstance(body, Mapping):
            raise InvalidResource(path, f"must be an object, not {type(body).__name__}")
        self._body: Mapping[str, Any] = body
        self._path = path

    def has(self, name: str) -> bool:
        """Return whether the field is present and not null."""
        return self._body.get(name) is not None

    def child(self, name: str) -> Fields:
        """Return the object in the field; an empty one when it is absent."""
        return Fields(self._get(name, {}), self._at(name))

    def children(self, name: str) -> list[Fields]:
        """Return the objects of the list in the field."""
        return [Fields(item, f"{self._at(name)}[{n}]") for n, item in enumerate(self._list(name))]

    def text(self, name: str, default: str) -> str:
        """Return the string in the field, or `default`."""
        return self._typed(name, default, str, "a string")

    def optional_text(self, name: str) -> str | None:
        """Return the string in the field, or None."""
        return self.text(name, "") if self.has(name) else None

    def required_text(self, name: str) -> str:
        """Return the string in the field, which must be there and not empty."""
        value = self.text(name, "")
        if not value:
            raise InvalidResource(self._at(name), "is required")
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        """Return the boolean in the field, or `default`."""
        return self._typed(name, default, bool, "true or false")

    def integer(
        self, name: str, default: int, *, low: int | None = None, high: int | None = None
    ) -> int:
        """Return the integer in the field, or `default`; it must lie within `low` and `high`."""
        value = self._typed(name, default, int, "an integer")
        if isinstance(value, bool):
            raise InvalidResource(self._at(name), "must be an integer, not a boolean")
        if low is not None and value < low:
            raise InvalidResource(self._at(name), f"must be at least {low}, is {value}")
        if high is not None and value > high:
            raise InvalidResource(self._at(name), f"must be at most {high}, is {value}")
        return value

    def integers(self, name: str, *, low: int, high: int) -> tuple[int, ...]:
        """Return the integers of the list in the field, each within `low` and `high`."""
        path, items = self._at(name), self._list(name)
        for n, item in enumerate(items):
            if isinstance(item, bool) or not isinstance(item, int) or not low <= item <= high:
                raise InvalidResource(f"{path}[{n}]", f"must be an integer from {low} to {high}")
        return tuple(items)

    def number(self, name: str, default: float, *, low: float, high: float) -> float:
        """Return the number in the field, or `default`; it must lie within `low` and `high`."""
        value = self._body.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidResource(self._at(name), "must be a number")
        if not low <= value <= high:
            raise InvalidResource(self._at(name), f"must be from {low:g} to {high:g}, is {value}")
        return float(value)

    def raw(self, name: str) -> Any:
        """Return what is in the field as it is, or None."""
        return self._body.get(name)

    def optional_integer(
        self, name: str, *, low: int | None = None, high: int | None = None
    ) -> int | None:
        """Return the integer in the field, or None."""
        return self.integer(name, 0, low=low, high=high) if self.has(name) else None

    def choice(self, name: str, kind: type[E], default: E) -> E:
        """Return the member of `kind` whose value the field holds, or `default`."""
        value = self.text(name, default.value)
        for member in kind:
            if member.value == value:
                return member
        allowed = ", ".join(str(member.value) for member in kind)
        raise InvalidResource(self._at(name), f"must be one of {allowed}; is {value!r}")

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a copy of the object in the field; empty when absent."""
        return dict(self.child(name)._body)

    def objects(self, name: str) -> tuple[dict[str, Any], ...]:
        """Return the objects of the list in the field, as they are."""
        return tuple(dict(item._body) for item in self.children(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the strings of the list in the field."""
        items = self._list(name)
        for n, item in enumerate(items):
            if not isinstance(item, str):
                raise InvalidResource(f"{self._at(name)}[{n}]", "must be a string")
        return tuple(items)

    def _at(self, name: str) -> str:
        return f"{self._path}.{name}"

    def _get(self, name: str, default: Any) -> Any:
        value = self._body.get(name)
        return default if value is None else value

    def _list(self, name: str) -> list[Any]:
        return self._typed(name, list[Any](), list, "a list")

    def _typed(self, name: str, default: T, kind: type[T], expected: str) -> T:
        value = self._get(name, default)
        if not isinstance(value, kind):
            raise InvalidResource(self._at(name), f"must be {expected}, not {type(value).__name__}")
        return value
