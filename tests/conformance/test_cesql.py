"""The test kit of CloudEvents SQL: the same value and the same kind of error."""

from __future__ import annotations

import json
from typing import Any

from tests.conformance.recorded import Case, needed
from torpor.triggers.filter.cesql import CesqlError, compile_cesql

_ANY_EVENT = {"specversion": "1.0", "id": "id", "source": "/source", "type": "type"}


def test_expressions_of_the_test_kit_come_to_the_same() -> None:
    rows = needed("events/cesql.jsonl")
    wrong = {row["id"]: found for row in rows if (found := _difference(row))}
    print(f"cesql: {len(rows) - len(wrong)} of {len(rows)}")
    for name, found in wrong.items():
        print(f"  not the same: {name}: {found}")
    assert wrong == {}


def _difference(row: Case) -> str | None:
    value, error = _outcome(row)
    expected = row["result"]
    same_value = expected is None or (type(value) is type(expected) and value == expected)
    if same_value and error == row["error"]:
        return None
    return f"{row['expression']}: {value!r} {error}, not {expected!r} {row['error']}"


def _outcome(row: Case) -> tuple[Any, str | None]:
    """The value and the kind of error; the kit gives literals without quotes, so YAML typed them.

    A text that cannot be parsed has the zero value of the type that is assumed: false.
    """
    expression = row["expression"]
    text = expression if isinstance(expression, str) else json.dumps(expression)
    event = {**(row["event"] or _ANY_EVENT), **(row["eventOverrides"] or {})}
    try:
        compiled = compile_cesql(text)
    except CesqlError as refused:
        return False, str(refused.kind)
    evaluation = compiled.evaluate(event)
    return evaluation.value, next((str(one.kind) for one in evaluation.errors), None)
