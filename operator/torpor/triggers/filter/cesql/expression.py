"""An expression as a filter has it: compiled once, evaluated for each event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torpor.triggers.filter.cesql.compiling import compile_node
from torpor.triggers.filter.cesql.failures import Failure
from torpor.triggers.filter.cesql.functions import missing_functions
from torpor.triggers.filter.cesql.parser import parse
from torpor.triggers.filter.cesql.values import Evaluate, Failed, Value


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an expression came to: always a value, and the errors that were met on the way."""

    value: Value
    errors: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Cesql:
    """A compiled expression."""

    text: str
    missing_functions: tuple[str, ...]
    """Calls of what does not exist, such as "ABS with 2 arguments": with one, most events fail."""
    _evaluate: Evaluate = field(repr=False, compare=False)

    def evaluate(self, event: Mapping[str, Any]) -> Evaluation:
        """The value for an event, given as its attributes by name; never raises."""
        outcome = self._evaluate(event)
        if isinstance(outcome, Failed):
            return Evaluation(outcome.value, outcome.failures)
        return Evaluation(outcome)

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether the event passes: the value is true, and no error was met (section 1.2)."""
        return self._evaluate(event) is True


def compile_cesql(expression: str) -> Cesql:
    """The compiled expression; raises CesqlError with the place of what is wrong."""
    node = parse(expression)
    return Cesql(expression, tuple(missing_functions(node)), compile_node(node))
