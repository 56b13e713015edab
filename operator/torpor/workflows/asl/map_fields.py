"""The fields of a Map state that are read when it runs: its items, and the numbers about them."""

from __future__ import annotations

import sys

from torpor.expressions.values import is_number, is_whole, json_text
from torpor.workflows.asl import fault
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.program import Map
from torpor.workflows.asl.reading import Reading, Setting, out_of_range, wrong_type
from torpor.workflows.asl.scope import Json, QueryLanguage, Scope


def read_items(state: Map, scope: Scope, data: Json) -> list[Json]:
    """The array that a Map iterates over, when it comes with the state's input."""
    items = data
    if isinstance(state.items, Reading):
        items = state.items.read(scope, data)
    elif state.items is not None:
        items = state.items.evaluate(scope, data)
    if isinstance(items, list):
        return items
    if state.language is QueryLanguage.JSONATA:
        cause = f"Map state input must be an array but was: {json_text(items)}"
        raise Fault(fault.QUERY_EVALUATION, cause)
    path = "$"
    if isinstance(state.items, Reading) and state.items.path is not None:
        path = state.items.path.text
    raise Fault(fault.RUNTIME, f'Reference path "{path}" must point to array.')


def read_concurrency(setting: Setting | None, scope: Scope, data: Json) -> int:
    """How many iterations may run at once; 0: any number."""
    if setting is None:
        return 0
    value = _number(setting, scope, data, "integer")
    if value < 0:
        raise out_of_range(setting, f"{setting.field} cannot be negative.")
    return int(value)


def read_count(setting: Setting | None, scope: Scope, data: Json) -> float | None:
    """A number of items or bytes, None when the field is not there."""
    if setting is None:
        return None
    value = _number(setting, scope, data, "integer")
    if value < 0:
        raise out_of_range(setting, f"{setting.field} cannot be negative.")
    return value


def read_percentage(setting: Setting | None, scope: Scope, data: Json) -> float | None:
    """A share of the items in per cent, None when the field is not there."""
    if setting is None:
        return None
    value = _number(setting, scope, data, "float")
    if not 0 <= value <= 100:
        raise out_of_range(setting, f"{setting.field} must be between 0 and 100.")
    return value


def _number(setting: Setting, scope: Scope, data: Json, kind: str) -> float:
    value = setting.read(scope, data)
    if setting.by_path and isinstance(value, str):
        try:
            value = int(value) if kind == "integer" else float(value)
        except ValueError:
            raise _not_a(setting, value, kind) from None
    if is_number(value) and abs(value) <= sys.float_info.max:
        if kind == "float" or is_whole(value):
            return float(value)
        if not setting.by_path:
            raise out_of_range(setting, f"{setting.field} must be an integer: {value}")
    raise _not_a(setting, value, kind)


def _not_a(setting: Setting, value: Json, kind: str) -> Fault:
    if not setting.by_path:
        return wrong_type(setting, "number", value)
    shown = value if isinstance(value, str) else json_text(value)
    cause = (
        f'The {setting.name} field refers to value "{shown}" which is not a valid {kind}: '
        f"{setting.text}"
    )
    return Fault(fault.RUNTIME, cause)
