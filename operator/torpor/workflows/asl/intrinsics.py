"""Intrinsic functions: a call compiled once into closures, evaluated against a scope.

Faults are States.Runtime with the words that AWS uses, which name the whole call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from torpor.expressions.values import Entropy, json_text
from torpor.workflows.asl import fault
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.intrinsics_functions import FUNCTIONS, InvalidArgument, fill, format_parts
from torpor.workflows.asl.intrinsics_parse import Argument, Call, Constant, parse_call
from torpor.workflows.asl.jsonpath import Path, PathNotFound
from torpor.workflows.asl.scope import Json, Scope

_CACHED_CALLS: Final = 4096

Run = Callable[[list[Json], Entropy], Json]


@dataclass(frozen=True, slots=True, eq=False)
class Intrinsic:
    """A compiled call. `paths` are all paths among its arguments, at any depth."""

    text: str
    paths: tuple[Path, ...]
    _run: Callable[[Scope, Json], Json]

    def evaluate(self, scope: Scope, data: Json) -> Json:
        """What the call returns; a States.Runtime fault when an argument is missing or wrong."""
        try:
            return self._run(scope, data)
        except PathNotFound as missing:
            reason = (
                f"The JsonPath argument for the field '{missing.path}' "
                f"could not be found in the input '{json_text(data)}'"
            )
            raise self._fault(reason) from missing
        except InvalidArgument as invalid:
            raise self._fault(str(invalid)) from invalid

    def _fault(self, reason: str) -> Fault:
        cause = f"The function '{self.text}' had the following error: {reason}"
        return Fault(fault.RUNTIME, cause)


@lru_cache(_CACHED_CALLS)
def compile_intrinsic(text: str) -> Intrinsic:
    """The compiled call; ValueError with a reason for bad syntax, an unknown function or arity."""
    call = parse_call(text)
    return Intrinsic(text.strip(), tuple(_paths(call)), _compile(call))


def _paths(call: Call) -> list[Path]:
    found: list[Path] = []
    for argument in call.arguments:
        if isinstance(argument, Path):
            found.append(argument)
        elif isinstance(argument, Call):
            found.extend(_paths(argument))
    return found


def _compile(call: Call) -> Callable[[Scope, Json], Json]:
    function = FUNCTIONS.get(call.function)
    if function is None:
        raise ValueError(f"unknown intrinsic function {call.function}")
    count = len(call.arguments)
    if count < function.least or (function.most is not None and count > function.most):
        raise ValueError(f"{call.function} does not take {count} arguments")
    name, arguments, run = call.function, call.arguments, function.run
    if name == "States.Format" and isinstance(arguments[0], Constant):
        run, arguments = _format(arguments[0]), arguments[1:]
    readers = tuple(_reader(argument) for argument in arguments)

    def evaluate(scope: Scope, data: Json) -> Json:
        values = [read(scope, data) for read in readers]
        try:
            return run(values, scope.entropy)
        except InvalidArgument as invalid:
            raise _named(name, invalid) from invalid

    return evaluate


def _format(template: Constant) -> Run:
    """A format whose template is cut once, when the call is compiled."""
    if template.raw is None:
        raise ValueError("the template of States.Format is not a string")
    parts = format_parts(template.raw)
    return lambda values, _: fill(parts, values)


def _reader(argument: Argument) -> Callable[[Scope, Json], Json]:
    if isinstance(argument, Path):
        return argument.read
    if isinstance(argument, Call):
        return _compile(argument)
    value = argument.value
    return lambda scope, data: value


def _named(function: str, invalid: InvalidArgument) -> InvalidArgument:
    """The reason with the function's name before it, once, for the innermost call."""
    reason = str(invalid)
    if reason.startswith("Invalid arguments in "):
        return invalid
    return InvalidArgument(f"Invalid arguments in {function}: {reason}")
