"""Where the checks of a definition write what they find, and where in the definition they stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from torpor.workflows.asl.problem import Problem, Severity
from torpor.workflows.asl.scope import Json, QueryLanguage

NOWHERE = ""
"""The location of a problem that AWS reports without one."""


class Code(StrEnum):
    """The diagnostic codes of ValidateStateMachineDefinition (API reference, "Diagnostic")."""

    SCHEMA = "SCHEMA_VALIDATION_FAILED"
    INVALID_JSON = "INVALID_JSON_DESCRIPTION"
    MISSING_DESCRIPTION = "MISSING_DESCRIPTION"
    MISSING_END_STATE = "MISSING_END_STATE"
    MISSING_TARGET = "MISSING_TRANSITION_TARGET"
    DUPLICATE_STATE = "DUPLICATE_STATE_NAME"
    INVALID_STATE_NAME = "INVALID_STATE_NAME"
    DUPLICATE_LABEL = "DUPLICATE_LABEL_NAME"
    INVALID_LABEL = "INVALID_LABEL_NAME"
    INVALID_JSONATA = "INVALID_JSONATA_EXPRESSION"
    UNSUPPORTED_JSONATA = "UNSUPPORTED_JSONATA_EXPRESSION"
    TOO_DEEP = "TOO_DEEPLY_NESTED"
    NO_DOLLAR = "NO_DOLLAR"
    NO_PATH = "NO_PATH"
    STATIC_RESULT = "PASS_RESULT_IS_STATIC"


class MachineType(StrEnum):
    """The two kinds of state machine; Express ones may not wait for anything outside."""

    STANDARD = "STANDARD"
    EXPRESS = "EXPRESS"


def any_resource(_text: str) -> str | None:
    """Refuses no resource: what the language itself asks of one is only that it is a URI."""
    return None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the checks depend on besides the definition.

    `refuse_resource` says why the engine at hand cannot run a Task's Resource, None when it can.
    """

    machine_type: MachineType = MachineType.STANDARD
    refuse_resource: Callable[[str], str | None] = any_resource


@dataclass(slots=True)
class Findings:
    """The problems found so far, in the order of the document."""

    problems: list[Problem] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    expression_characters: int = 0

    def add(
        self, code: Code, message: str, location: str, severity: Severity = Severity.ERROR
    ) -> None:
        """Write down one problem."""
        self.problems.append(Problem(code.value, message, location, severity))


@dataclass(frozen=True, slots=True)
class Spot:
    """The place of a value: its path, the query language in force, the machine's own one.

    `offered` are the fields of `$states` that only some places have: `result`, `errorOutput`.
    """

    findings: Findings
    rules: Rules
    path: str = ""
    language: QueryLanguage = QueryLanguage.JSONPATH
    machine_language: QueryLanguage = QueryLanguage.JSONPATH
    offered: frozenset[str] = frozenset()

    def field(self, name: str) -> Spot:
        """The spot of a field of the object here."""
        return replace(self, path=f"{self.path}/{name}")

    def item(self, index: int) -> Spot:
        """The spot of an element of the array here."""
        return replace(self, path=f"{self.path}[{index}]")

    def within(self, language: QueryLanguage) -> Spot:
        """The same spot under another query language."""
        return replace(self, language=language)

    def offering(self, field: str) -> Spot:
        """The same spot, where `$states` has `field` too."""
        return replace(self, offered=frozenset({field}))

    def error(self, message: str, code: Code = Code.SCHEMA) -> None:
        """Report an error at this spot."""
        self.findings.add(code, message, self.path or "/")

    def warn(self, message: str, code: Code) -> None:
        """Report a warning at this spot."""
        self.findings.add(code, message, self.path or "/", Severity.WARNING)


Check = Callable[[Json, Spot], None]
"""Looks at one value and reports to the spot what is wrong with it."""
