"""What can be wrong with an expression, or with an event that it meets (CESQL, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from torpor.errors import TorporError


class FailureKind(StrEnum):
    """The error types of the specification, by the names that its test kit has for them."""

    PARSE = "parse"
    MATH = "math"
    CAST = "cast"
    MISSING_ATTRIBUTE = "missingAttribute"
    MISSING_FUNCTION = "missingFunction"
    FUNCTION_EVALUATION = "functionEvaluation"
    GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class Failure:
    """One error of an evaluation; `reason` is for people."""

    kind: FailureKind
    reason: str


class CesqlError(TorporError):
    """A text that is no CESQL expression, or one over a limit.

    `position` counts characters from 0, up to the length of the text.
    """

    code = "invalid-cesql"
    kind = FailureKind.PARSE

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"invalid CESQL expression at character {position + 1}: {reason}")
        self.reason = reason
        self.position = position
