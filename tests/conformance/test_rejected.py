"""What CreateStateMachine refuses, and what ValidateStateMachineDefinition answers, as recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.conformance.recorded import Case, needed
from torpor.workflows.asl.validate import MachineType, check_definition, create_error
from torpor.workflows.request_rules import Refusal, check_logging, check_version_description

_DESTINATION = {"cloudWatchLogsLogGroup": {"logGroupArn": "arn:aws:logs:eu-west-1:1:log-group:a:*"}}
# The rows about other fields of the request do not carry those fields. These requests break the
# rule that such a row's name is about.
_REQUESTS: dict[str, Callable[[], list[Refusal | None]]] = {
    "test_invalid_logging_configuration": lambda: [
        check_logging({"level": "ALL"}),
        check_logging({"level": "ERROR", "destinations": []}),
    ],
    "test_multiple_destinations": lambda: [
        check_logging({"level": "ALL", "destinations": [_DESTINATION, _DESTINATION]})
    ],
    "test_create_with_version_description_no_publish": lambda: [
        check_version_description(None, "first"),
        check_version_description(False, "first"),
    ],
}


def test_recorded_refusals_are_given() -> None:
    rows = needed("asl/rejected.jsonl")
    wrong = [difference for row in rows if (difference := _difference(row))]
    print(f"asl rejected: {len(rows) - len(wrong)} of {len(rows)}")
    assert wrong == []


def test_recorded_executions_have_valid_definitions() -> None:
    rows = needed("asl/executions.jsonl") + needed("asl/articles.jsonl")
    refused = [(row["id"], problems) for row in rows if (problems := _check(row))]
    assert refused == []


def _check(row: Case) -> list[str]:
    machine_type = MachineType(row.get("type") or "STANDARD")
    return [str(found) for found in check_definition(_text(row), machine_type=machine_type)]


def _text(row: Case) -> str:
    definition: Any = row["definition"]
    return definition if isinstance(definition, str) else json.dumps(definition)


def _difference(row: Case) -> str | None:
    if row["kind"] == "validate":
        return _diagnostics_difference(row)
    answers = _answers(row)
    expected = row["error"], row["cause"].rpartition(" operation: ")[2]
    if all(answer == expected for answer in answers):
        return None
    return f"{row['id']}: {answers} is not {expected}"


def _answers(row: Case) -> list[tuple[str, str] | None]:
    for name, request in _REQUESTS.items():
        if f"::{name}" in row["id"]:
            return [(made.code, made.message) if made else None for made in request()]
    problems = check_definition(_text(row), machine_type=MachineType(row["type"]))
    return [create_error(problems, _text(row)) if problems else None]


def _diagnostics_difference(row: Case) -> str | None:
    problems = check_definition(_text(row), machine_type=MachineType(row["type"]))
    found = [
        {"code": p.code, "location": p.location, "message": p.message, "severity": p.severity}
        for p in problems
    ]
    status = "FAIL" if found else "OK"
    if (status, found) == (row["expected_status"], row["diagnostics"]):
        return None
    return f"{row['id']}: {status} {found} is not {row['expected_status']} {row['diagnostics']}"
