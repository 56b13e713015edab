"""How CreateStateMachine and UpdateStateMachine word the refusal of a definition."""

from __future__ import annotations

from collections.abc import Iterable

from torpor.workflows.asl.problem import Problem, Severity
from torpor.workflows.asl.validate.findings import Code

INVALID_DEFINITION = "InvalidDefinition"
"""The API's error code for a definition with errors."""


def create_error(problems: Iterable[Problem], definition: str = "") -> tuple[str, str]:
    """The error code and the message that refuse a definition, given its problems and its text.

    A label that is not allowed is refused before anything else, with the whole definition quoted;
    all other errors are listed with their codes and locations.
    """
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    for problem in errors:
        if problem.code == Code.INVALID_LABEL:
            return INVALID_DEFINITION, _unreadable(problem.message, definition)
    listed = ", ".join(map(_listed, errors))
    return INVALID_DEFINITION, f"Invalid State Machine Definition: '{listed}'"


def _listed(problem: Problem) -> str:
    return f"{problem.code}: {problem.message} at {problem.location or 'null'}"


def _unreadable(message: str, definition: str) -> str:
    return f"Error=ValueError Args={[message]!r} in definition '{definition}'."
