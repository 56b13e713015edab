"""Fields whose value is read when the state runs: a path, a constant, or a JSONata expression.

Each knows the name of its field, because the causes that AWS gives name it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from torpor.expressions.values import ABSENT, json_text
from torpor.workflows.asl import fault
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.intrinsics import Intrinsic, compile_intrinsic
from torpor.workflows.asl.jsonata import Expression, compile_jsonata, is_jsonata
from torpor.workflows.asl.jsonpath import Path, PathNotFound, compile_path
from torpor.workflows.asl.mismatch import undefined, unexpected_type
from torpor.workflows.asl.scope import Json, QueryLanguage, Scope


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


@dataclass(frozen=True, slots=True)
class Setting(ABC):
    """A field that configures a state, such as a time-out.

    `name` is the field as written (`TimeoutSeconds`, `TimeoutSecondsPath`), `text` its value as
    written: causes have both.
    """

    name: str
    text: str

    @abstractmethod
    def read(self, scope: Scope, data: Json) -> Json:
        """The value for this run of the state."""

    @property
    def by_path(self) -> bool:
        """Whether this is the `…Path` form of the field."""
        return self.name.endswith("Path")

    @property
    def field(self) -> str:
        """The name of the field without `Path`."""
        return self.name.removesuffix("Path")


@dataclass(frozen=True, slots=True)
class Constant(Setting):
    """A setting that is the same in every run."""

    value: Json

    def read(self, scope: Scope, data: Json) -> Json:
        """The constant."""
        return self.value


@dataclass(frozen=True, slots=True)
class PathSetting(Setting):
    """A setting read by a `…Path` field, such as SecondsPath."""

    path: Path

    def read(self, scope: Scope, data: Json) -> Json:
        """The referenced value; nothing there is a States.Runtime fault."""
        try:
            return self.path.read(scope, data)
        except PathNotFound as missing:
            raise Fault(fault.RUNTIME, _missing(self.name, self.text, data)) from missing


def _missing(name: str, path: str, data: Json) -> str:
    if name in ("ErrorPath", "CausePath"):
        return (
            f"The JSONPath '{path}' specified for the field '{name}' "
            f"could not be found in the input '{json_text(data)}'"
        )
    return f"The {name} parameter does not reference an input value: {path}"


@dataclass(frozen=True, slots=True)
class IntrinsicSetting(Setting):
    """An ErrorPath or CausePath that is an intrinsic function call."""

    intrinsic: Intrinsic

    def read(self, scope: Scope, data: Json) -> Json:
        """What the function returns."""
        return self.intrinsic.evaluate(scope, data)


@dataclass(frozen=True, slots=True)
class ExpressionSetting(Setting):
    """A setting whose value is one JSONata expression."""

    expression: Expression

    def read(self, scope: Scope, data: Json) -> Json:
        """What the expression returns; nothing at all is a States.QueryEvaluationError."""
        value = self.expression.evaluate(scope, self.name)
        if value is ABSENT:
            raise undefined(self.text, self.name)
        return value


def compile_setting(
    fields: Mapping[str, Json], name: str, language: QueryLanguage, place: str = ""
) -> Setting | None:
    """The setting `name` of a state: its constant, its `…Path` twin, or its expression.

    `place` is what stands before the name in causes (`ItemBatcher/`).
    """
    path = fields.get(f"{name}Path")
    if path is not None and language is QueryLanguage.JSONPATH:
        return _path_setting(f"{name}Path", path)
    value = fields.get(name)
    if value is None:
        return None
    if language is QueryLanguage.JSONATA and isinstance(value, str) and is_jsonata(value):
        text = value[2:-2].strip()
        return ExpressionSetting(place + name, text, compile_jsonata(text))
    return Constant(name, json_text(value), value)


def _path_setting(name: str, text: str) -> Setting:
    if text.startswith("States."):
        return IntrinsicSetting(name, text, compile_intrinsic(text))
    return PathSetting(name, text, compile_path(text))


def wrong_type(setting: Setting, expected: str, value: Json) -> Fault:
    """The fault of a setting whose expression gave a value of another type."""
    return unexpected_type(setting.text, setting.name, expected, value)


def out_of_range(setting: Setting, cause: str) -> Fault:
    """The fault of a setting whose value is outside of what its field allows.

    For an expression that is a failed evaluation, for a path an error of the execution.
    """
    if isinstance(setting, ExpressionSetting):
        return Fault(fault.QUERY_EVALUATION, cause, setting.name)
    return Fault(fault.RUNTIME, cause)
