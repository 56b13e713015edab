"""JSONata as the States Language uses it: compiled once, bounded, with AWS's own functions.

The commonest expressions run as closures (`jsonata_direct`). Everything else runs in the library,
one compiled instance a thread because an instance keeps state while it evaluates.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from jsonata import Jsonata
from jsonata.jexception import JException
from jsonata.utils import Utils

from torpor.workflows.asl import fault
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.jsonata_bounds import MAX_STEPS, Bounds, OverBound, text_bound
from torpor.workflows.asl.jsonata_dates import bound_pictures
from torpor.workflows.asl.jsonata_direct import UNDECIDED, Evaluate, direct
from torpor.workflows.asl.jsonata_functions import RefusedCall, bind_functions, current, plain
from torpor.workflows.asl.jsonata_texts import bound_texts
from torpor.workflows.asl.payload import json_text
from torpor.workflows.asl.regex import (
    MAX_CHARACTERS,
    OverWork,
    Regex,
    begin_work,
    compile_regex,
)
from torpor.workflows.asl.scope import ABSENT, Json, Scope
from torpor.workflows.asl.work import charge

_CACHED_EXPRESSIONS: Final = 4096
_CACHED_PER_THREAD: Final = 4096
bound_pictures()
bound_texts()
_TOO_DEEP: Final = "Expression is nested too deeply"
_INSERT: Final = re.compile(r"\{\{\w+\}\}")


class _Compiled(threading.local):
    """The library's instances of this thread, by expression text."""

    def __init__(self) -> None:
        self.expressions: dict[str, Any] = {}


_compiled: Final = _Compiled()


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
        try:
            return _evaluate(self.text, scope, most_steps)
        except JException as refused:
            raise self._fault(field, f"{refused.error}: {_message(refused)}") from refused
        except (RefusedCall, OverBound, OverWork) as refused:
            raise self._fault(field, str(refused)) from refused
        except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as broken:
            raise self._fault(field, _reason(broken)) from broken
        except (AttributeError, RuntimeError) as broken:
            raise self._fault(field, _reason(broken)) from broken

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
    return Expression(trimmed, direct(_library_instance(trimmed).ast))


def syntax_tree(text: str) -> Any:
    """The library's syntax tree of a valid expression."""
    return _library_instance(text.strip()).ast


def _library_instance(text: str) -> Any:
    known = _compiled.expressions.get(text)
    if known is not None:
        return known
    try:
        instance = Jsonata(text, _regex)
    except JException as invalid:
        raise ValueError(f"invalid JSONata expression '{text}': {_message(invalid)}") from invalid
    except RecursionError as deep:
        raise ValueError(f"invalid JSONata expression '{text}': {_TOO_DEEP}") from deep
    except (AttributeError, IndexError, TypeError, ValueError) as broken:
        reason = str(broken) if isinstance(broken, ValueError) else "It is not complete"
        raise ValueError(f"invalid JSONata expression '{text}': {reason}") from broken
    instance.set_validate_input(False)
    instance.set_output_convert_nulls(False)
    bind_functions(instance)
    if len(_compiled.expressions) >= _CACHED_PER_THREAD:
        _compiled.expressions.clear()
    _compiled.expressions[text] = instance
    return instance


def _regex(pattern: str, flags: Any) -> Regex:
    """The library's way to have a pattern compiled; ValueError for one that is refused."""
    given = (flags.case_insensitive and "i", flags.multiline and "m")
    return compile_regex(pattern, "".join(flag for flag in given if flag))


def _evaluate(text: str, scope: Scope, most_steps: int) -> Json:
    instance = _library_instance(text)
    bindings = {
        name: Utils.NULL_VALUE if value is None else value
        for name, value in scope.variables.items()
    }
    bindings["states"] = _states(scope)
    bounds = Bounds(most_steps)
    bounds.attach(bindings)
    begin_work(MAX_CHARACTERS * most_steps // MAX_STEPS)
    outer, current.entropy = current.entropy, scope.entropy
    try:
        result = instance.evaluate(None, bindings)
        if isinstance(result, list | dict):
            text_bound(result)
    finally:
        current.entropy = outer
        charge(bounds.steps)
    return ABSENT if result is None else plain(result)


def _states(scope: Scope) -> dict[str, Json]:
    states = {"input": scope.input, "context": dict(scope.context)}
    if scope.result is not ABSENT:
        states["result"] = scope.result
    if scope.error_output is not ABSENT:
        states["errorOutput"] = scope.error_output
    return states


def _reason(broken: Exception) -> str:
    """What stopped an expression: Python fails where JavaScript has an infinity or no number."""
    if isinstance(broken, ArithmeticError) or str(broken) == "math domain error":
        return "D1001: Number out of range"
    if isinstance(broken, RecursionError):
        return _TOO_DEEP
    if type(broken) is RuntimeError:  # the library's own words
        return str(broken).replace("%s", "that")
    return "A function or an operator was given a value that it cannot take"


def _message(error: JException) -> str:
    """The message in JSONata's own words: values are quoted, and functions are not `Object`s.

    The library is a translation that lost both.
    """
    template = JException.error_codes.get(error.error)
    if template is None or "{{{" in template:
        return str(error)
    inserts = iter((error.current, error.expected, error.extra))
    text = _INSERT.sub(lambda _: json_text(plain(next(inserts, None))), template)
    return text.replace("Object", "function") if error.error.startswith("T04") else text
