"""The environment of a Function, taken from the Secrets and ConfigMaps of its folder. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torpor.dev.sources import CONFIG_MAP, SECRET, Fields
from torpor.dev.standins import Values
from torpor.errors import InvalidResource
from torpor.resources.function import Function

_KINDS = {
    "secretRef": SECRET,
    "secretKeyRef": SECRET,
    "configMapRef": CONFIG_MAP,
    "configMapKeyRef": CONFIG_MAP,
}


def literal(function: Function, fields: Fields) -> Function:
    """Return a Function whose environment is all literal; InvalidResource says what is not here."""
    given: dict[str, str] = {}
    for number, item in enumerate(function.env_from):
        given |= _all_of(item, function.key.namespace, fields, f"spec.envFrom[{number}]")
    first = ({"name": name, "value": value} for name, value in given.items())
    return replace(function, env=(*first, *_named(function, fields)), env_from=())


def _named(function: Function, fields: Fields) -> Iterator[Mapping[str, Any]]:
    """Yield what `env` names, each with its value; nothing for what may be away and is."""
    for number, item in enumerate(function.env):
        if "valueFrom" not in item:
            yield item
            continue
        path = f"spec.env[{number}].valueFrom"
        value = _one_of(item["valueFrom"] or {}, function.key.namespace, fields, path)
        if value is not None:
            yield {"name": item.get("name"), "value": value}


def _all_of(item: Mapping[str, Any], namespace: str, fields: Fields, path: str) -> dict[str, str]:
    values, _ = _values(item, namespace, fields, path)
    prefix = item.get("prefix") or ""
    return {f"{prefix}{name}": _text(value, path) for name, value in (values or {}).items()}


def _one_of(item: Mapping[str, Any], namespace: str, fields: Fields, path: str) -> str | None:
    values, reference = _values(item, namespace, fields, path)
    key = str(reference.get("key"))
    if values is not None and key in values:
        return _text(values[key], path)
    if reference.get("optional"):
        return None
    raise InvalidResource(path, f"{reference.get('name')!r} has no field {key!r}")


def _values(
    item: Mapping[str, Any], namespace: str, fields: Fields, path: str
) -> tuple[Values | None, Mapping[str, Any]]:
    """Return the fields that a reference is about, and the reference; None if it may be away."""
    field = next((name for name in _KINDS if isinstance(item.get(name), Mapping)), None)
    if field is None:
        raise InvalidResource(path, "cannot be read without a cluster")
    reference = item[field]
    found = fields.get((_KINDS[field], namespace, str(reference.get("name"))))
    if found is None and not reference.get("optional"):
        text = f"no {_KINDS[field]} {reference.get('name')!r} in the folder"
        raise InvalidResource(f"{path}.{field}", f"{text}: add it, or write optional: true")
    return found, reference


def _text(value: bytes, path: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidResource(path, "has a field that is not text in UTF-8") from None
