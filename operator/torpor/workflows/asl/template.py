"""Payload templates: Parameters, ResultSelector, Arguments, Output, Assign, ItemSelector.

A template is compiled to closures over its dynamic places only. One without any is a constant, and
evaluating it gives the same shared object every time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torpor.expressions.values import ABSENT, json_text
from torpor.workflows.asl import fault
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.intrinsics import Intrinsic, compile_intrinsic
from torpor.workflows.asl.jsonata import Expression, compile_jsonata, is_jsonata
from torpor.workflows.asl.jsonpath import Path, PathNotFound, compile_path
from torpor.workflows.asl.mismatch import undefined
from torpor.workflows.asl.scope import Json, QueryLanguage, Scope

Evaluate = Callable[[Scope, Json], Json]

_SUFFIX = ".$"


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A compiled template. `evaluate(scope, data)` fills it in and may raise `Fault`.

    `uses_context` tells whether any place in it may read the context object.
    """

    source: Json
    is_constant: bool
    uses_context: bool
    evaluate: Evaluate


def compile_template(value: Json, language: QueryLanguage, field: str = "") -> Template:
    """The compiled template of the state's `field` (`Output`, `Choices[1]/Assign`).

    Causes of JSONata faults name the place under that field, as in `Output/order/id`. Raises
    ValueError with a reason for an invalid path, intrinsic or expression.
    """
    builder = _JsonPathBuilder() if language is QueryLanguage.JSONPATH else _JsonataBuilder()
    evaluate = builder.build(value, field)
    if evaluate is None:
        return Template(value, True, False, lambda scope, data: value)
    return Template(value, False, builder.uses_context, evaluate)


class _Builder:
    """Builds closures bottom-up; a part without dynamic places is None and is shared as it is."""

    def __init__(self) -> None:
        self.uses_context = False

    def build(self, value: Json, field: str) -> Evaluate | None:
        if isinstance(value, dict):
            return self.build_object(value, field)
        if isinstance(value, list):
            return self.build_array(value, field)
        return self.build_text(value, field) if isinstance(value, str) else None

    def build_array(self, items: list[Json], field: str) -> Evaluate | None:
        built = {
            index: part
            for index, item in enumerate(items)
            if (part := self.build(item, f"{field}[{index}]")) is not None
        }
        return _filled_array(items, tuple(built.items())) if built else None

    def build_object(self, members: dict[str, Json], field: str) -> Evaluate | None:
        shape: dict[str, Json] = {}
        built: list[tuple[str, Evaluate]] = []
        for key, value in members.items():
            name, part = self.build_member(key, value, f"{field}/{key}" if field else key)
            shape[name] = value
            if part is not None:
                built.append((name, part))
        return _filled_object(shape, tuple(built)) if built else None

    def build_member(self, key: str, value: Json, field: str) -> tuple[str, Evaluate | None]:
        return key, self.build(value, field)

    def build_text(self, text: str, field: str) -> Evaluate | None:
        return None


class _JsonPathBuilder(_Builder):
    def build_member(self, key: str, value: Json, field: str) -> tuple[str, Evaluate | None]:
        if not key.endswith(_SUFFIX):
            return key, self.build(value, field)
        if not isinstance(value, str):
            raise ValueError(f"the value for the field '{key}' must be a string")
        return key.removesuffix(_SUFFIX), self.reference(key, value)

    def reference(self, key: str, text: str) -> Evaluate:
        if text.startswith("States."):
            intrinsic: Intrinsic = compile_intrinsic(text)
            self.uses_context |= any(path.root == "$$" for path in intrinsic.paths)
            return intrinsic.evaluate
        path = compile_path(text)
        self.uses_context |= "$$" in path.text
        return _named_read(path, key)


class _JsonataBuilder(_Builder):
    def build_text(self, text: str, field: str) -> Evaluate | None:
        if not is_jsonata(text):
            return None
        expression = compile_jsonata(text[2:-2].strip())
        self.uses_context = self.uses_context or "$states" in text
        return _defined(expression, field)


def _filled_array(items: list[Json], built: tuple[tuple[int, Evaluate], ...]) -> Evaluate:
    def evaluate(scope: Scope, data: Json) -> Json:
        filled = items.copy()
        for index, part in built:
            filled[index] = part(scope, data)
        return filled

    return evaluate


def _filled_object(shape: dict[str, Json], built: tuple[tuple[str, Evaluate], ...]) -> Evaluate:
    def evaluate(scope: Scope, data: Json) -> Json:
        filled = shape.copy()
        for name, part in built:
            filled[name] = part(scope, data)
        return filled

    return evaluate


def _named_read(path: Path, key: str) -> Evaluate:
    read = path.read

    def evaluate(scope: Scope, data: Json) -> Json:
        try:
            return read(scope, data)
        except PathNotFound as missing:
            cause = (
                f"The JSONPath '{path.text}' specified for the field '{key}' "
                f"could not be found in the input '{json_text(data)}'"
            )
            raise Fault(fault.RUNTIME, cause) from missing

    return evaluate


def _defined(expression: Expression, field: str) -> Evaluate:
    def evaluate(scope: Scope, data: Json) -> Json:
        value = expression.evaluate(scope, field)
        if value is ABSENT:
            raise undefined(expression.text, field)
        return value

    return evaluate
