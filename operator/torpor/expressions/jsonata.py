"""JSONata, bounded and with AWS's own functions: what workflows and transforms both evaluate.

The library keeps state while it evaluates, so each thread has its own compiled instances.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any, Final

from jsonata import Jsonata
from jsonata.jexception import JException
from jsonata.utils import Utils

from torpor.expressions.jsonata_bounds import MAX_STEPS, Bounds, OverBound, text_bound
from torpor.expressions.jsonata_dates import bound_pictures
from torpor.expressions.jsonata_functions import RefusedCall, bind_functions, current, plain
from torpor.expressions.jsonata_texts import bound_texts
from torpor.expressions.regex import (
    MAX_CHARACTERS,
    OverWork,
    Regex,
    begin_work,
    compile_regex,
)
from torpor.expressions.values import ABSENT, Entropy, Json, json_text
from torpor.expressions.work import charge

_CACHED_PER_THREAD: Final = 4096
bound_pictures()
bound_texts()
_TOO_DEEP: Final = "Expression is nested too deeply"
_INSERT: Final = re.compile(r"\{\{\w+\}\}")


class JsonataFailed(ValueError):
    """An evaluation met an error or a bound; the message says which, in JSONata's words."""


class _Compiled(threading.local):
    """The library's instances of this thread, by expression text."""

    def __init__(self) -> None:
        self.expressions: dict[str, Any] = {}


_compiled: Final = _Compiled()


def syntax_tree(text: str) -> Any:
    """The library's syntax tree of an expression; ValueError with a reason if it is invalid."""
    return _library_instance(text.strip()).ast


def evaluate(
    text: str,
    data: Json,
    variables: Mapping[str, Json],
    entropy: Entropy,
    most_steps: int = MAX_STEPS,
) -> Json:
    """An expression's value, `ABSENT` when it is undefined; raises JsonataFailed.

    `data` is `$`, and `variables` are those that begin with a dollar.
    """
    try:
        return _evaluate(text, data, variables, entropy, Bounds(most_steps))
    except JException as refused:
        raise JsonataFailed(f"{refused.error}: {_message(refused)}") from refused
    except (RefusedCall, OverBound, OverWork) as refused:
        raise JsonataFailed(str(refused)) from refused
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as broken:  # a RecursionError is a RuntimeError; a time that C does not know, an OSError
        raise JsonataFailed(_reason(broken)) from broken


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


def _evaluate(
    text: str, data: Json, variables: Mapping[str, Json], entropy: Entropy, bounds: Bounds
) -> Json:
    instance = _library_instance(text)
    bindings = {
        name: Utils.NULL_VALUE if value is None else value for name, value in variables.items()
    }
    bounds.attach(bindings)
    begin_work(MAX_CHARACTERS * bounds.most_steps // MAX_STEPS)
    outer, current.entropy = current.entropy, entropy
    try:
        result = instance.evaluate(data, bindings)
        if isinstance(result, list | dict):
            text_bound(result)
    finally:
        current.entropy = outer
        charge(bounds.steps)
    return ABSENT if result is None else plain(result)


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
