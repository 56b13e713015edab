"""What is wrong with a definition, and where: the diagnostics of ValidateStateMachineDefinition."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Whether a definition with this problem is refused (ERROR) or accepted (WARNING)."""

    ERROR = "ERROR"
    WARNING = "WARNING"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding in a definition.

    `location` is the path AWS prints: `/States/Name/Field`, the whole definition is `/`; it is
    empty for a problem that AWS reports without a location.
    `code` is AWS's diagnostic code, such as `SCHEMA_VALIDATION_FAILED`.
    """

    code: str
    message: str
    location: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        text = f"{self.code}: {self.message}"
        return f"{text} at {self.location}" if self.location else text


class InvalidDefinition(ValueError):
    """A definition with at least one error; `problems` has every one of them, in document order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems
