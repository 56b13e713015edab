"""Which definitions are light: no state of theirs works much longer than its input is large.

What a light one does in a step is bounded by what the step cost, so it may run between other work.
Of any other a single expression can take seconds, whatever its input.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

from torpor.workflows.asl.jsonata import compile_jsonata, is_jsonata
from torpor.workflows.asl.jsonpath import compile_path
from torpor.workflows.asl.scope import Json

_MOST_CHARACTERS: Final = 32_768
_MOST_PLACES: Final = 16
"""How many places of one state may be filled in: each may repeat the whole input."""
_NESTED: Final = ("Branches", "ItemProcessor", "Iterator")


def is_light(definition: Mapping[str, Json]) -> bool:
    """Whether a valid definition is short, and has plain paths and common expressions alone.

    Maps, intrinsic functions, filters and other JSONata make one that is not.
    """
    if len(json.dumps(definition)) > _MOST_CHARACTERS:
        return False
    return all(map(_is_light_state, _states(definition)))


def _states(machine: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    for state in machine["States"].values():
        yield state
        for branch in state.get("Branches", ()):
            yield from _states(branch)


def _is_light_state(state: Mapping[str, Json]) -> bool:
    if state["Type"] == "Map":
        return False
    own = {name: value for name, value in state.items() if name not in _NESTED}
    places = 0
    for text in _texts(own):
        if not _is_light_text(text):
            return False
        places += text.startswith(("$", "{%"))
    return places <= _MOST_PLACES


def _texts(value: Json) -> Iterator[str]:
    """Every string of a state; how a pattern is matched is not for a light one."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from ("States.Matches(",) if name == "StringMatches" else _texts(member)


def _is_light_text(text: str) -> bool:
    try:
        if is_jsonata(text):
            return compile_jsonata(text[2:-2]).is_direct
        if text.startswith("$"):
            return compile_path(text).steps is not None
    except ValueError:
        return False
    return not (text.startswith("States.") and "(" in text)
