"""Fields whose value is read when the state runs: a path, a constant, or a JSONata expression.

Each knows the name of its field, because the causes that AWS gives name it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torpor.workflows.asl import fault
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.intrinsics import Intrinsic, compile_intrinsic
from torpor.workflows.asl.jsonata import Expression, compile_jsonata, is_jsonata
from torpor.workflows.asl.jsonpath import Path, PathNotFound, compile_path
from torpor.workflows.asl.payload import json_text
from torpor.workflows.asl.scope import ABSENT, Json, QueryLanguage, Scope


@dataclass(frozen=True, slots=True)
class Reading:
    """A path field that selects data: InputPath, OutputPath, ItemsPath.

    `path` is None where the definition says null: that selects an empty object.
    """

    path: Path | None

    def read(self, scope: Scope, data: Json) -> Json:
        """The selected value; a path that leads nowhere is a States.Runtime fault."""
        if self.path is None:
            return {}
        try:
            return self.path.read(scope, data)
        except PathNotFound as missing:
            raise Fault(fault.RUNTIME, f"Invalid path '{self.path.text}' : {missing}") from missing


class Setting(Protocol):
    """A field that configures a state, such as a time-out; `name` is the field as written."""

    @property
    def name(self) -> str:
        """The field's name in the definition: `TimeoutSeconds`, `TimeoutSecondsPath`."""

    @property
    def text(self) -> str:
        """The field's value as written, for causes."""

    def read(self, scope: Scope, data: Json) -> Json:
        """The value for this run of the state."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A setting that is the same in every run."""

    name: str
    value: Json

    @property
    def text(self) -> str:
        """The value as JSON text."""
        return json_text(self.value)

    def read(self, scope: Scope, data: Json) -> Json:
        """The constant."""
        return self.value


@dataclass(frozen=True, slots=True)
class PathSetting:
    """A setting read by a `…Path` field, such as SecondsPath."""

    name: str
    path: Path

    @property
    def text(self) -> str:
        """The path as written."""
        return self.path.text

    def read(self, scope: Scope, data: Json) -> Json:
        """The referenced value; nothing there is a States.Runtime fault."""
        try:
            return self.path.read(scope, data)
        except PathNotFound as missing:
            raise Fault(fault.RUNTIME, _missing(self.name, self.path.text, data)) from missing


def _missing(name: str, path: str, data: Json) -> str:
    if name in ("ErrorPath", "CausePath"):
        return (
            f"The JSONPath '{path}' specified for the field '{name}' "
            f"could not be found in the input '{json_text(data)}'"
        )
    return f"The {name} parameter does not reference an input value: {path}"


@dataclass(frozen=True, slots=True)
class IntrinsicSetting:
    """An ErrorPath or CausePath that is an intrinsic function call."""

    name: str
    text: str
    intrinsic: Intrinsic

    def read(self, scope: Scope, data: Json) -> Json:
        """What the function returns."""
        return self.intrinsic.evaluate(scope, data)


@dataclass(frozen=True, slots=True)
class ExpressionSetting:
    """A setting whose value is one JSONata expression."""

    name: str
    text: str
    expression: Expression

    def read(self, scope: Scope, data: Json) -> Json:
        """What the expression returns; nothing at all is a States.QueryEvaluationError."""
        value = self.expression.evaluate(scope, self.name)
        if value is ABSENT:
            cause = (
                f"The JSONata expression '{self.text}' specified for the field '{self.name}' "
                "returned nothing (undefined)."
            )
            raise Fault(fault.QUERY_EVALUATION, cause)
        return value


def compile_setting(fields: dict[str, Json], name: str, language: QueryLanguage) -> Setting | None:
    """The setting `name` of a state: its constant, its `…Path` twin, or its expression."""
    path = fields.get(f"{name}Path")
    if path is not None and language is QueryLanguage.JSONPATH:
        return _path_setting(f"{name}Path", path)
    value = fields.get(name)
    if value is None:
        return None
    if language is QueryLanguage.JSONATA and isinstance(value, str) and is_jsonata(value):
        text = value[2:-2].strip()
        return ExpressionSetting(name, text, compile_jsonata(text))
    return Constant(name, value)


def _path_setting(name: str, text: str) -> Setting:
    if text.startswith("States."):
        return IntrinsicSetting(name, text, compile_intrinsic(text))
    return PathSetting(name, compile_path(text))
