"""Reads a template: YAML with CloudFormation's short forms, or JSON. Pure.

The short form `!Sub text` becomes `{"Fn::Sub": "text"}`, as CloudFormation itself reads it (AWS
CloudFormation User Guide, "Intrinsic function reference").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml

from torpor.errors import TorporError

MOST_BYTES = 1 << 20
"""CloudFormation's own limit for a template, as of 2020."""
MOST_VALUES = 500_000
"""Of a template or definition with its aliases written out; 1 MiB of YAML without has fewer."""
_SECTIONS = ("Globals", "Parameters", "Mappings", "Conditions")
_PLAIN = ("Ref", "Condition")
_LOGICAL_ID = re.compile(r"[A-Za-z0-9]+")
Json = Any


class BadTemplate(TorporError):
    """The template cannot be understood; the message has the place."""

    code = "bad-template"


class _Loader(yaml.SafeLoader):
    """YAML as CloudFormation reads it: tags are functions, and dates are texts."""

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        """Return a text, in which what JSON escapes as two surrogates is one character."""
        value = str(super().construct_scalar(node))
        return value.encode("utf-16", "surrogatepass").decode("utf-16")


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> Mapping[str, Json]:
    value: Json
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode), "YAML has three kinds of nodes"
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in _PLAIN else f"Fn::{suffix}": value}


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_Loader.add_multi_constructor("!", _function)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)


def parse(text: str) -> Mapping[str, Json]:
    """Return the template; BadTemplate where it is none."""
    if len(text.encode()) > MOST_BYTES:
        raise BadTemplate(f"it is larger than {MOST_BYTES >> 20} MiB")
    try:
        found = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadTemplate(f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict) or not isinstance(found.get("Resources"), dict):
        raise BadTemplate("it has no Resources: is it a template of SAM or CloudFormation?")
    check_unfolded(found)
    for section in _SECTIONS:
        if not isinstance(found.get(section) or {}, dict):
            raise BadTemplate(f"{section}: must be an object")
    for name, resource in found["Resources"].items():
        if not isinstance(name, str) or not _LOGICAL_ID.fullmatch(name):
            raise BadTemplate(f"Resources: {name!r}: a logical id has letters and digits alone")
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise BadTemplate(f"Resources.{name}: a resource must have a Type")
        if not isinstance(resource.get("Properties") or {}, dict):
            raise BadTemplate(f"Resources.{name}.Properties: must be an object")
    return found


def check_unfolded(document: Json) -> None:
    """Refuse YAML whose aliases contain themselves, or unfold to more than MOST_VALUES."""
    known: dict[int, int] = {}
    if _unfolded(document, known) > MOST_VALUES:
        raise BadTemplate(f"its aliases (*name) unfold to more than {MOST_VALUES} values")


def _unfolded(value: Json, known: dict[int, int]) -> int:
    """Return how many values there are; `known` has those counted, 0 for those being counted."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = 0
        items = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_unfolded(item, known) for item in items)
    if not known[id(value)]:
        raise BadTemplate("an alias (*name) is inside of what it stands for")
    return known[id(value)]


@contextmanager
def understood(place: str) -> Iterator[None]:
    """Have what is of another shape than AWS says refused as BadTemplate with its place."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise BadTemplate(f"{place}: cannot be understood: {error}") from error
