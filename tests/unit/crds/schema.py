"""As much of OpenAPI schemas as the CRDs use: defaults filled in, then checked. No CEL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_KINDS: dict[str, type] = {"string": str, "boolean": bool, "array": list, "object": dict}


def defaulted(value: Any, schema: Schema) -> Any:
    """Return `value` as the API server stores it: with the schema's defaults."""
    if isinstance(value, Mapping):
        return _object(value, schema)
    if isinstance(value, list) and "items" in schema:
        return [defaulted(item, schema["items"]) for item in value]
    return value


def _object(value: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    filled = dict(value)
    properties = schema.get("properties", {})
    for name, child in properties.items():
        if name not in filled and "default" in child:
            filled[name] = child["default"]
        if name in filled:
            filled[name] = defaulted(filled[name], child)
    return filled


def problems(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    """Yield what is wrong with `value`, each with its place."""
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, (int, str)):
            yield f"{path}: neither integer nor string"
        elif isinstance(value, str):
            yield from _sized(value, schema, path)
        return
    if "type" not in schema:
        return  # any JSON
    kind = schema["type"]
    if kind in ("integer", "number"):
        yield from _number(value, schema, path)
        return
    if not _is(kind, value):
        yield f"{path}: not of type {kind}"
        return
    yield from _sized(value, schema, path)
    if kind == "object":
        yield from _members(value, schema, path)
    elif kind == "array":
        for number, item in enumerate(value):
            yield from problems(item, schema["items"], f"{path}[{number}]")
            if _key(item, schema) in [_key(other, schema) for other in value[:number]]:
                yield f"{path}[{number}]: there twice"


def _key(item: Any, schema: Schema) -> Any:
    """Return what no other item of the list may have; an object of its own where any may."""
    names = schema.get("x-kubernetes-list-map-keys", ())
    if names and isinstance(item, Mapping):
        return [item.get(name) for name in names]
    return item if schema.get("x-kubernetes-list-type") == "set" else object()


def _is(kind: str, value: Any) -> bool:
    return isinstance(value, _KINDS[kind])


def _number(value: Any, schema: Schema, path: str) -> Iterator[str]:
    allowed = int if schema["type"] == "integer" else int | float
    if not isinstance(value, allowed) or isinstance(value, bool):
        yield f"{path}: not of type {schema['type']}"
    elif not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{path}: {value} is out of range"


def _sized(value: Any, schema: Schema, path: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is not one of {schema['enum']}"
    for low, high in (("minLength", "maxLength"), ("minItems", "maxItems")):
        if isinstance(value, (str, list)) and (low in schema or high in schema):
            size = len(value)
            if not schema.get(low, size) <= size <= schema.get(high, size):
                yield f"{path}: {size} long"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{path}: {value!r} does not match {schema['pattern']}"


def _members(value: Mapping[str, Any], schema: Schema, path: str) -> Iterator[str]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    if len(value) > schema.get("maxProperties", len(value)):
        yield f"{path}: too many fields"
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{path}.{name}: required"
    for name, item in value.items():
        if name in properties:
            yield from problems(item, properties[name], f"{path}.{name}")
        elif others is not None:
            yield from problems(item, others, f"{path}.{name}")
        elif "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{path}.{name}: unknown"


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every schema inside `schema` with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for part, suffix in (("items", "[]"), ("additionalProperties", "{}")):
        if part in schema:
            yield from nodes(schema[part], path + suffix)
