"""Checks a value against an OpenAPI schema as the API server does with strict field validation.

It knows the part of OpenAPI that the CRDs use. The rules in CEL are not read here: the parsers of
the kinds have them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

Schema = Mapping[str, Any]

_TYPES: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "string": (str, "a string"),
    "boolean": (bool, "true or false"),
    "integer": (int, "an integer"),
    "number": ((int, float), "a number"),
    "array": (list, "a list"),
    "object": (dict, "an object"),
}
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[-+]\d\d:\d\d)")
_SIZES = (
    ("minLength", "maxLength", "characters"),
    ("minItems", "maxItems", "items"),
    ("minProperties", "maxProperties", "fields"),
)


def problems(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    """Yield everything that is wrong with `value`, each as `place: what`."""
    if value is None:
        if "default" not in schema and not schema.get("nullable"):
            yield f"{path}: has no value; give one or remove the field"
        return
    wrong = _wrong_type(value, schema)
    if wrong:
        yield f"{path}: {wrong}"
        return
    yield from (f"{path}: {wrong}" for wrong in _wrong_value(value, schema))
    if isinstance(value, Mapping):
        yield from _members(value, schema, path)
    elif isinstance(value, list):
        yield from _items(value, schema, path)


def _hint(name: str, schema: Schema) -> str:
    """Return what was probably meant: the same name deeper inside, or one spelled nearly so."""
    deeper = next(_paths_to(name, schema), None)
    known = {item.lower(): item for item in schema["properties"]}
    nearest = deeper or next(map(known.get, get_close_matches(name.lower(), known, 1)), None)
    return f"did you mean {nearest}?" if nearest else f"known are {', '.join(known.values())}"


def _paths_to(name: str, schema: Schema) -> Iterator[str]:
    for child, inner in schema.get("properties", {}).items():
        if name in inner.get("properties", {}):
            yield f"{child}.{name}"
        yield from (f"{child}.{path}" for path in _paths_to(name, inner))


def _wrong_type(value: Any, schema: Schema) -> str | None:
    if schema.get("x-kubernetes-int-or-string"):
        fits = isinstance(value, int | str) and not isinstance(value, bool)
        return None if fits else f"must be an integer or a string, not {_kind(value)}"
    if "type" not in schema:
        return None
    kind, text = _TYPES[schema["type"]]
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if fits:
        return None
    quote = "; put it in quotes" if kind is str and not isinstance(value, dict | list) else ""
    return f"must be {text}, not {_kind(value)}{quote}"


def _kind(value: Any) -> str:
    for kind, text in ((bool, "true or false"), *_TYPES.values()):
        if isinstance(value, kind):
            return text
    return f"a {type(value).__name__}"


def _wrong_value(value: Any, schema: Schema) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"must be one of {', '.join(map(str, schema['enum']))}; is {value!r}"
    if isinstance(value, float) and not math.isfinite(value):
        yield "must be a number that JSON has"
    elif isinstance(value, int | float):
        yield from _bounds(value, schema.get("minimum"), schema.get("maximum"), "")
    elif isinstance(value, str | list | Mapping):
        for low, high, unit in _SIZES:
            yield from _bounds(len(value), schema.get(low), schema.get(high), f" {unit}")
    pattern = schema.get("pattern")
    if pattern and isinstance(value, str) and not re.search(_python(pattern), value):
        yield f"{value!r} must match {pattern}"
    if schema.get("format") == "date-time" and not _INSTANT.fullmatch(value):
        yield f"{value!r} is no instant; write it as 2027-01-31T09:00:00Z"


def _bounds(size: float, low: float | None, high: float | None, unit: str) -> Iterator[str]:
    if low is not None and size < low:
        yield f"must be at least {low}{unit}, is {size}"
    if high is not None and size > high:
        yield f"must be at most {high}{unit}, is {size}"


def _python(pattern: str) -> str:
    """Return the pattern with `$` as in RE2: the very end, not also before a last newline."""
    return f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern


def _members(value: Mapping[Any, Any], schema: Schema, path: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{_at(path, name)}: is required"
    for name, item in value.items():
        if name in known:
            yield from problems(item, known[name], _at(path, name))
        elif not isinstance(name, str):
            yield f"{_at(path, name)}: a field's name must be a string; put it in quotes"
        elif others is not None:
            yield from problems(item, others, _at(path, name))
        elif "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{_at(path, name)}: unknown field; {_hint(name, schema)}"


def _items(value: list[Any], schema: Schema, path: str) -> Iterator[str]:
    for number, item in enumerate(value):
        yield from problems(item, schema.get("items", {}), f"{path}[{number}]")
    names = schema.get("x-kubernetes-list-map-keys", ())
    if not names and schema.get("x-kubernetes-list-type") != "set":
        return
    seen: set[tuple[str, ...]] = set()
    for number, item in enumerate(value):
        key = _identity(item, names)
        if key and key in seen:
            yield f"{path}[{number}]: {', '.join(key)!r} is there twice"
        seen.add(key)


def _identity(item: Any, names: Sequence[str]) -> tuple[str, ...]:
    """Return what no other item of the list may have in common with it; empty: anything goes."""
    if not names:
        return (str(item),)
    return tuple(str(item.get(name)) for name in names) if isinstance(item, Mapping) else ()


def _at(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
