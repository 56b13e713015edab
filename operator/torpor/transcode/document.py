"""Frozen values to JSON documents and back, so that a plan can be an object in a store.

Names become camelCase, fractions the text `30000/1001`, enums their value. What is read was written
by the same code or by another version of it: a document of another shape is refused, not guessed.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from enum import Enum
from fractions import Fraction
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from torpor.errors import TorporError

T = TypeVar("T")


class UnreadableDocument(TorporError):
    """A stored document has another shape than this version of Torpor writes."""

    code = "unreadable-document"


def to_json(value: Any) -> Any:
    """Return `value` (a dataclass, and what its fields hold) as JSON's own types."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (field.name for field in dataclasses.fields(value))
        return {_camel(name): to_json(getattr(value, name)) for name in fields}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, tuple):
        return [to_json(each) for each in value]
    return value


def from_json(kind: type[T], document: Any) -> T:
    """Return the `kind` in `document`; UnreadableDocument says where it has another shape."""
    return _read(kind, document, kind.__name__)  # type: ignore[no-any-return]


def _read(kind: Any, document: Any, path: str) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (each for each in get_args(kind) if each is not type(None))
        return None if document is None else _read(kind, document, path)
    if get_origin(kind) is tuple:
        return tuple(_read(get_args(kind)[0], each, path) for each in _typed(list, document, path))
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, _typed(dict, document, path), path)
    if issubclass(kind, Enum | Fraction):
        return _parsed(kind, document, path)
    return _typed(kind, document, path)


def _dataclass(kind: Any, document: Mapping[str, Any], path: str) -> Any:
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    missing = [name for name in names if _camel(name) not in document]
    if missing:
        raise UnreadableDocument(f"{path} has no {_camel(missing[0])}: it is of another version")
    return kind(
        **{
            name: _read(hints[name], document[_camel(name)], f"{path}.{_camel(name)}")
            for name in names
        }
    )


def _parsed(kind: Any, document: Any, path: str) -> Any:
    try:
        return kind(document)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise UnreadableDocument(f"{path} is {document!r}: no {kind.__name__}") from error


def _typed(kind: Any, document: Any, path: str) -> Any:
    if kind is float and type(document) is int:
        return float(document)
    if type(document) is not kind:
        raise UnreadableDocument(f"{path} is {document!r}: not of type {kind.__name__}")
    return document


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.title() for word in tail)
