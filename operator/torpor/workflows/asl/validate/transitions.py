"""Checks of where states lead (targets, reachability, an end), and of the names of states."""

from __future__ import annotations

from collections.abc import Iterator

from torpor.workflows.asl.scope import Json
from torpor.workflows.asl.validate.document import repeated_names
from torpor.workflows.asl.validate.findings import NOWHERE, Code, Spot

MAX_STATE_NAME = 80
"""Characters of a state's name (ASL, "States")."""


def check_transitions(value: Json, spot: Spot) -> None:
    """Check a machine and the machines inside it.

    A transition stays inside its machine; a name is unique in the whole definition.
    """
    _check_names(value, spot, set())
    _check_machine(value, spot)


def _check_machine(value: Json, spot: Spot) -> None:
    states = _states(value)
    if states is None:
        return
    start = value.get("StartAt")
    if isinstance(start, str):
        _check_target(start, states, spot.field("StartAt"))
    for name, state in states.items():
        place = spot.field("States").field(name)
        for target, where in _targets(state, place):
            _check_target(target, states, where)
        for inner, where in _machines(state, place):
            _check_machine(inner, where)
    _check_ends(states, start, spot)


def _check_target(target: str, states: dict[str, Json], spot: Spot) -> None:
    if target not in states:
        spot.error(f"Missing 'Next' target: {target}", Code.MISSING_TARGET)


def _check_ends(states: dict[str, Json], start: Json, spot: Spot) -> None:
    # AWS gives no unreachable states for a machine that cannot end.
    if not any(_is_terminal(state) for state in states.values()):
        message = "Workflow has no terminal state"
        spot.findings.add(Code.MISSING_END_STATE, message, spot.path or NOWHERE)
    elif isinstance(start, str):
        reached = _reached(states, start, spot)
        for name in states:
            if name not in reached:
                place = spot.field("States").field(name)
                place.error(f'State "{name}" is not reachable.', Code.MISSING_TARGET)


def _reached(states: dict[str, Json], start: str, spot: Spot) -> set[str]:
    """The states that can be reached: from the start, or if that does not exist from any state."""
    exits = {
        name: [target for target, _ in _targets(state, spot)] for name, state in states.items()
    }
    if start not in states:
        return {target for targets in exits.values() for target in targets}
    seen, open_ = {start}, [start]
    while open_:
        fresh = {target for target in exits[open_.pop()] if target in exits} - seen
        seen |= fresh
        open_ += fresh
    return seen


def _is_terminal(state: Json) -> bool:
    if not isinstance(state, dict):
        return False
    return state.get("Type") in ("Succeed", "Fail") or state.get("End") is True


def _targets(state: Json, spot: Spot) -> Iterator[tuple[str, Spot]]:
    """Every state that a state may lead to, with where that is written."""
    if not isinstance(state, dict):
        return
    for name, value in state.items():
        if name in ("Next", "Default") and isinstance(value, str):
            yield value, spot.field(name)
        elif name in ("Catch", "Choices") and isinstance(value, list):
            for index, rule in enumerate(value):
                target = rule.get("Next") if isinstance(rule, dict) else None
                if isinstance(target, str):
                    yield target, spot.field(name).item(index).field("Next")


def _machines(state: Json, spot: Spot) -> Iterator[tuple[Json, Spot]]:
    """Every machine inside a state; of ItemProcessor and Iterator only the one that counts."""
    if not isinstance(state, dict):
        return
    processor = "ItemProcessor" if "ItemProcessor" in state else "Iterator"
    for name, value in state.items():
        if name == processor:
            yield value, spot.field(name)
        elif name == "Branches" and isinstance(value, list):
            for index, branch in enumerate(value):
                yield branch, spot.field(name).item(index)


def _states(value: Json) -> dict[str, Json] | None:
    states = value.get("States") if isinstance(value, dict) else None
    return states if isinstance(states, dict) else None


def _check_names(value: Json, spot: Spot, seen: set[str]) -> None:
    states = _states(value) or {}
    for name in repeated_names(states):
        _report_duplicate(name, spot.field("States").field(name))
    for name, state in states.items():
        place = spot.field("States").field(name)
        if name in seen:
            _report_duplicate(name, place)
        _check_name(name, place)
        seen.add(name)
        for inner, where in _machines(state, place):
            _check_names(inner, where, seen)


def _report_duplicate(name: str, spot: Spot) -> None:
    spot.error(f"Duplicate State name: {name}", Code.DUPLICATE_STATE)


def _check_name(name: str, spot: Spot) -> None:
    if not 0 < len(name) <= MAX_STATE_NAME:
        message = f"State name must have 1 to {MAX_STATE_NAME} characters"
        spot.error(message, Code.INVALID_STATE_NAME)
