"""Warnings: what a definition may do, but hardly ever means to do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from torpor.workflows.asl.scope import Json, QueryLanguage
from torpor.workflows.asl.validate.expressions import is_expression
from torpor.workflows.asl.validate.fields import language_of
from torpor.workflows.asl.validate.findings import Code, Spot

_TEMPLATES = ("Parameters", "ResultSelector", "ItemSelector", "Assign")
_LOOKS_EVALUATED = re.compile(r"\$\$?[.\[]|States\.[A-Z]\w*\(")


def advise(value: Json, spot: Spot) -> None:
    """Report the warnings about a machine and every state inside it."""
    states = value.get("States") if isinstance(value, dict) else None
    if not isinstance(states, dict):
        return
    for name, state in states.items():
        if isinstance(state, dict):
            _advise_state(state, spot.field("States").field(name))


def _advise_state(state: dict[str, Json], spot: Spot) -> None:
    language = language_of(state) if "QueryLanguage" in state else spot.machine_language
    if language is QueryLanguage.JSONPATH:
        for name in _TEMPLATES:
            _advise_template(state.get(name), spot.field(name))
        _advise_result(state.get("Result"), spot.field("Result"))
        _advise_rules(state.get("Choices"), spot.field("Choices"))
    for name in ("ItemProcessor", "Iterator"):
        advise(state.get(name), spot.field(name))
    for index, branch in enumerate(_list(state.get("Branches"))):
        advise(branch, spot.field("Branches").item(index))


def _advise_template(value: Json, spot: Spot) -> None:
    for name, inner, place in _named(value, spot):
        if not name.endswith(".$") and _looks_evaluated(inner):
            message = "No .$ on a field that appears to be a JSONPath or Intrinsic Function"
            place.warn(message, Code.NO_DOLLAR)


def _advise_result(value: Json, spot: Spot) -> None:
    for name, inner, place in _named(value, spot):
        if name.endswith(".$") or _looks_evaluated(inner):
            message = "Attempt to use a path in the result of a pass state"
            place.warn(message, Code.STATIC_RESULT)


def _advise_rules(value: Json, spot: Spot) -> None:
    for name, inner, place in _named(value, spot):
        literal = not name.endswith("Path") and name not in ("Variable", "Next", "Comment")
        if literal and _looks_evaluated(inner):
            message = "Field value looks like a path, but field name does not end with 'Path'"
            place.warn(message, Code.NO_PATH)


def _looks_evaluated(value: Json) -> bool:
    return (
        isinstance(value, str)
        and _LOOKS_EVALUATED.match(value) is not None
        and is_expression(value)
    )


def _named(value: Json, spot: Spot) -> Iterator[tuple[str, Json, Spot]]:
    """Every field at any depth of a value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner, spot.field(name)
            yield from _named(inner, spot.field(name))
    for index, inner in enumerate(_list(value)):
        yield from _named(inner, spot.item(index))


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
