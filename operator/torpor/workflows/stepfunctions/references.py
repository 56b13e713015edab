"""Which workflow variables each state of a definition refers to (`variableReferences`). Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_NESTED = ("ItemProcessor", "Iterator", "Branches")
_NAME = re.compile(r"(?<![$\w])\$([^\W\d]\w*)")
_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")


def variable_references(definition: str) -> dict[str, list[str]]:
    """The names of variables by state, sorted; states that refer to none are left out.

    Only names that some state assigns are variables: others are functions or local to an
    expression.
    """
    states = list(_states(json.loads(definition)))
    assigned = {name for _, state in states for name in _assigned(state)}
    found = {name: assigned.intersection(_referred(state)) for name, state in states}
    return {name: sorted(names) for name, names in found.items() if names}


def _states(machine: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in machine["States"].items():
        yield name, {field: value for field, value in state.items() if field not in _NESTED}
        nested = [state.get("ItemProcessor"), state.get("Iterator"), *state.get("Branches", ())]
        for inner in nested:
            if inner:
                yield from _states(inner)


def _assigned(value: Any) -> Iterator[str]:
    """The variables that a state, its catchers and its rules assign."""
    if isinstance(value, list):
        for item in value:
            yield from _assigned(item)
    elif isinstance(value, dict):
        for field, inner in value.items():
            if field == "Assign" and isinstance(inner, dict):
                yield from (name.removesuffix(".$") for name in inner)
            else:
                yield from _assigned(inner)


def _referred(value: Any, field: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _referred(inner, name)
    elif isinstance(value, list):
        for item in value:
            yield from _referred(item, field)
    elif isinstance(value, str) and _is_expression(value, field):
        yield from _NAME.findall(_QUOTED.sub("", value))


def _is_expression(text: str, field: str) -> bool:
    if text.startswith("{%") and text.endswith("%}"):
        return True
    return field == "Variable" or field.endswith((".$", "Path"))
