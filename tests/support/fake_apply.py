"""Server-side apply and merge patch as the fake API server does them. Pure.

A path is a tuple of map keys and, for lists keyed by name, type or containerPort, of
`(key, value)` pairs; every other list is atomic. Ownership is of leaves.
"""

from __future__ import annotations

import copy
from typing import Any

Paths = set[tuple[Any, ...]]
_LIST_KEYS = ("name", "type", "containerPort")
_IDENTITY = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}


def paths_of(body: Any) -> Paths:
    """Return the leaves of `body`, without what identifies the object."""
    return set(_walk(body, ())) - _IDENTITY


def merge(base: Any, body: Any) -> Any:
    """Return `base` with every leaf of `body` set; lists with keys are merged by key."""
    if isinstance(base, dict) and isinstance(body, dict):
        return {**base, **{key: merge(base.get(key), value) for key, value in body.items()}}
    key = _key_of(body)
    if not isinstance(base, list) or key is None:
        return copy.deepcopy(body)
    merged = {item.get(key): item for item in base}
    for item in body:
        merged[item[key]] = merge(merged.get(item[key]), item)
    return list(merged.values())


def merge_patch(base: Any, patch: Any) -> Any:
    """Return `base` after the JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def remove(obj: Any, paths: Paths) -> None:
    """Delete the leaves from `obj`, and the list items and maps that become empty by it."""
    for path in paths:
        _remove(obj, path)


def _remove(obj: Any, path: tuple[Any, ...]) -> None:
    head, *rest = path
    if isinstance(head, tuple):
        key, value = head
        for item in [item for item in obj if item.get(key) == value]:
            if rest and rest != [key]:
                _remove(item, tuple(rest))
            if not rest or item.keys() <= {key}:
                obj.remove(item)
        return
    if not isinstance(obj, dict) or head not in obj:
        return
    if rest:
        _remove(obj[head], tuple(rest))
    if not rest or obj[head] in ({}, []):
        del obj[head]


def _walk(body: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    if isinstance(body, dict) and body:
        return [leaf for key, value in body.items() for leaf in _walk(value, (*path, key))]
    key = _key_of(body)
    if key is None:
        return [path]
    return [leaf for item in body for leaf in _walk(_rest(item, key), (*path, (key, item[key])))]


def _key_of(body: Any) -> str | None:
    if not isinstance(body, list) or not body:
        return None
    for key in _LIST_KEYS:
        if all(isinstance(item, dict) and key in item for item in body):
            return key
    return None


def _rest(item: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != key}
