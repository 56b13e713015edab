"""The validator of definitions: every problem at once, in AWS's codes, words and locations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torpor.workflows.asl.problem import Problem, Severity
from torpor.workflows.asl.scope import Json
from torpor.workflows.asl.validate.advice import advise
from torpor.workflows.asl.validate.answer import create_error
from torpor.workflows.asl.validate.document import read_document, write_document
from torpor.workflows.asl.validate.fields import language_of, machine
from torpor.workflows.asl.validate.findings import (
    Findings,
    MachineType,
    Rules,
    Spot,
    any_resource,
)
from torpor.workflows.asl.validate.transitions import check_transitions

__all__ = ["MachineType", "check_definition", "create_error"]


def check_definition(
    definition: str | Mapping[str, Json],
    *,
    machine_type: MachineType = MachineType.STANDARD,
    severity: Severity = Severity.ERROR,
    refuse_resource: Callable[[str], str | None] = any_resource,
) -> tuple[Problem, ...]:
    """Everything that is wrong with a definition, given as JSON text or as its parsed object.

    First what concerns fields and their values, in document order, then what concerns transitions;
    with `severity` WARNING also warnings, last. `refuse_resource` says why a task's resource
    cannot be run, None when it can. No input makes this raise.
    """
    findings = Findings()
    text = definition if isinstance(definition, str) else write_document(definition, findings)
    value = None if findings.problems else read_document(text, findings)
    if not findings.problems:
        _check(value, Spot(findings, Rules(machine_type, refuse_resource)), severity)
    return tuple(findings.problems)


def _check(value: Json, spot: Spot, severity: Severity) -> None:
    language = language_of(value) if isinstance(value, dict) else spot.language
    spot = Spot(spot.findings, spot.rules, language=language, machine_language=language)
    machine(value, spot)
    check_transitions(value, spot)
    if severity is Severity.WARNING:
        advise(value, spot)
