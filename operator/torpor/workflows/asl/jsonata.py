"""JSONata as the States Language uses it: compiled once, with the context as `$states`.

The commonest expressions run as closures (`jsonata_direct`). Everything else runs in the library.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from torpor.expressions.jsonata import JsonataFailed, evaluate, syntax_tree
from torpor.expressions.jsonata_bounds import MAX_STEPS
from torpor.expressions.values import ABSENT
from torpor.workflows.asl import fault
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.jsonata_direct import UNDECIDED, Evaluate, direct
from torpor.workflows.asl.scope import Json, Scope

_CACHED_EXPRESSIONS: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """A compiled expression; `text` is what stood between the delimiters, without outer blanks."""

    text: str
    _direct: Evaluate | None

    @property
    def is_direct(self) -> bool:
        """Whether the expression is one of the common ones, which do little."""
        return self._direct is not None

    def evaluate(self, scope: Scope, field: str = "", most_steps: int = MAX_STEPS) -> Json:
        """The expression's value, `ABSENT` when it is undefined.

        An error is a States.QueryEvaluationError fault whose cause names `field`.
        """
        if self._direct is not None:
            value = self._direct(scope)
            if value is not UNDECIDED:
                return value
        variables = {**scope.variables, "states": _states(scope)}
        try:
            return evaluate(self.text, None, variables, scope.entropy, most_steps)
        except JsonataFailed as failed:
            raise self._fault(field, str(failed)) from failed

    def _fault(self, field: str, reason: str) -> Fault:
        cause = (
            f"The JSONata expression '{self.text}' specified for the field '{field}' "
            f"threw an error during evaluation. {reason}"
        )
        return Fault(fault.QUERY_EVALUATION, cause, field)


def is_jsonata(text: str) -> bool:
    """Whether a string is a JSONata expression in its delimiters: `{% … %}`."""
    return len(text) >= 4 and text.startswith("{%") and text.endswith("%}")


@lru_cache(_CACHED_EXPRESSIONS)
def compile_jsonata(text: str) -> Expression:
    """The compiled expression (`text` without delimiters); ValueError with a reason if invalid."""
    trimmed = text.strip()
    return Expression(trimmed, direct(syntax_tree(trimmed)))


def _states(scope: Scope) -> dict[str, Json]:
    states = {"input": scope.input, "context": dict(scope.context)}
    if scope.result is not ABSENT:
        states["result"] = scope.result
    if scope.error_output is not ABSENT:
        states["errorOutput"] = scope.error_output
    return states
