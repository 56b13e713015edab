"""Checks of what is evaluated when a state runs: paths, intrinsic calls, JSONata, templates."""

from __future__ import annotations

import re

from torpor.workflows.asl.intrinsics import compile_intrinsic
from torpor.workflows.asl.jsonata import compile_jsonata, is_jsonata
from torpor.workflows.asl.jsonpath import compile_path
from torpor.workflows.asl.scope import Json, QueryLanguage
from torpor.workflows.asl.validate.findings import Check, Code, Spot
from torpor.workflows.asl.validate.references import wrong_references
from torpor.workflows.asl.validate.shape import by_language, is_object
from torpor.workflows.asl.validate.values import is_text

MAX_VARIABLE_NAME = 80
"""Characters of a variable's name (ASL, "Variables")."""

MAX_EXPRESSION = 16_384
"""Characters of one JSONata expression: the parser takes 0.1 s for them, some 0.3 s."""

MAX_EXPRESSIONS = 131_072
"""Characters of all JSONata expressions of a definition together."""

_VARIABLE = re.compile(r"[^\W\d]\w*")
_DELIMITERS = (
    "A JSONata expression must start with '{%' and end with '%}', with no spaces before or after"
)
_JSONATA_CODE = re.compile(r"^[A-Z]\d{4}:\s*")


def is_path(value: str) -> bool:
    """Whether a string is a JSONPath."""
    try:
        compile_path(value)
    except (ValueError, RecursionError):
        return False
    return True


def is_intrinsic(value: str) -> bool:
    """Whether a string is a call of an intrinsic function that exists."""
    try:
        compile_intrinsic(value)
    except (ValueError, RecursionError):
        return False
    return True


def is_expression(value: Json) -> bool:
    """Whether a value can stand at a field whose name ends with `.$`."""
    if not isinstance(value, str):
        return False
    if value.startswith("$"):
        return is_path(value)
    return value.startswith("States.") and is_intrinsic(value)


def nullable(check: Check) -> Check:
    """A value that passes `check`, or null."""

    def checked(value: Json, spot: Spot) -> None:
        if value is not None:
            check(value, spot)

    return checked


def path(value: Json, spot: Spot) -> None:
    """Any path: into the data, the context object or a variable."""
    if is_text(value, spot) and not (value[:1] == "$" and is_path(value)):
        spot.error("Value must be a valid JSONPath.")


def reference_path(value: Json, spot: Spot) -> None:
    """A path that can only select one node (ASL, "Reference Paths")."""
    if not is_text(value, spot):
        return
    if not value.startswith("$"):
        spot.error("Value is not a Reference Path: Reference path didn't start with '$'")
    elif not _is_reference(value):
        spot.error("Value is not a Reference Path")


def data_path(value: Json, spot: Spot) -> None:
    """A reference path into the data or a variable; the context object is not allowed."""
    if isinstance(value, str) and value.startswith("$$"):
        spot.error("Value is not a Reference Path")
    else:
        reference_path(value, spot)


def result_path(value: Json, spot: Spot) -> None:
    """Where a result goes: a reference path into the input, not into the context or a variable."""
    if isinstance(value, str) and re.match(r"\$[^.\[]", value):
        spot.error("Value is not a Reference Path")
    else:
        reference_path(value, spot)


def _is_reference(value: str) -> bool:
    try:
        return compile_path(value).is_reference
    except (ValueError, RecursionError):
        return False


def path_or_intrinsic(value: Json, spot: Spot) -> None:
    """A path, or a call of an intrinsic function: ErrorPath and CausePath."""
    if is_text(value, spot) and not is_expression(value):
        spot.error("Value must be a valid JSONPath or a valid intrinsic function call")


def payload_template(value: Json, spot: Spot) -> None:
    """A template whose fields named `x.$` are evaluated, at any depth (ASL, "Payload Template")."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            payload_template(item, spot.item(index))
    elif isinstance(value, dict) and is_object(value, spot):
        for name, inner in value.items():
            _template_field(name, inner, spot)


def _template_field(name: str, value: Json, spot: Spot) -> None:
    if not name.endswith(".$"):
        payload_template(value, spot.field(name))
    elif not is_expression(value):
        spot.error(
            f"The value for the field '{name}' must be a valid JSONPath or a valid intrinsic"
            " function call"
        )


def jsonata_template(value: Json, spot: Spot) -> None:
    """A value whose strings between `{%` and `%}` are JSONata, at any depth."""
    if isinstance(value, str):
        if is_jsonata(value):
            _check_jsonata(value, spot)
        elif _is_misdelimited(value):
            spot.error(_DELIMITERS, Code.INVALID_JSONATA)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            jsonata_template(item, spot.item(index))
    elif isinstance(value, dict) and is_object(value, spot):
        for name, inner in value.items():
            jsonata_template(inner, spot.field(name))


def _is_misdelimited(value: str) -> bool:
    """Whether a string that is no expression looks like one that is opened or closed wrongly."""
    bare = value.strip()
    return bare.startswith("{%") or bare.endswith("%}")


def _check_jsonata(value: str, spot: Spot) -> None:
    source = value[2:-2].strip()
    if not _is_within_bounds(source, spot):
        return
    try:
        compile_jsonata(source)
        wrong_ones = wrong_references(source, spot.offered)
    except ValueError as wrong:
        reason = str(wrong).removeprefix(f"invalid JSONata expression '{source}': ")
        spot.error(_JSONATA_CODE.sub("", reason), Code.INVALID_JSONATA)
    except RecursionError:
        spot.error("Expression is nested too deeply", Code.INVALID_JSONATA)
    else:
        for message in wrong_ones:
            spot.error(message, Code.UNSUPPORTED_JSONATA)


def _is_within_bounds(source: str, spot: Spot) -> bool:
    """Whether an expression may be compiled at all; the sum is reported where it is passed."""
    before = spot.findings.expression_characters
    spot.findings.expression_characters = after = before + len(source)
    if len(source) > MAX_EXPRESSION:
        spot.error(f"Expression is longer than {MAX_EXPRESSION} characters", Code.INVALID_JSONATA)
    elif before <= MAX_EXPRESSIONS < after:
        message = f"The expressions up to here have more than {MAX_EXPRESSIONS} characters together"
        spot.error(message, Code.INVALID_JSONATA)
    return len(source) <= MAX_EXPRESSION and after <= MAX_EXPRESSIONS


def with_states(field: str, check: Check) -> Check:
    """The same check, at a place where `$states` has `field`."""

    def checked(value: Json, spot: Spot) -> None:
        check(value, spot.offering(field))

    return checked


def template(value: Json, spot: Spot) -> None:
    """A template of the query language in force."""
    by_language(payload_template, jsonata_template)(value, spot)


def computed(check: Check) -> Check:
    """A value that passes `check`; in JSONata also an expression that gives one."""

    def checked(value: Json, spot: Spot) -> None:
        if spot.language is QueryLanguage.JSONATA and isinstance(value, str) and is_jsonata(value):
            _check_jsonata(value, spot)
        elif (
            spot.language is QueryLanguage.JSONATA
            and isinstance(value, str)
            and _is_misdelimited(value)
        ):
            spot.error(_DELIMITERS, Code.INVALID_JSONATA)
        else:
            check(value, spot)

    return checked


def template_object(value: Json, spot: Spot) -> None:
    """A template that is an object, or in JSONata an expression that gives one."""
    if isinstance(value, dict):
        template(value, spot)
    else:
        computed(_not_an_object)(value, spot)


def _not_an_object(_value: Json, spot: Spot) -> None:
    spot.error("Expected value of type Object")


def assign(value: Json, spot: Spot) -> None:
    """The variables that a state sets: an object of valid names and templates."""
    if not isinstance(value, dict):
        spot.error("Expected value of type Object")
        return
    for name in value:
        _check_variable(name, spot)
    template(value, spot)


def _check_variable(name: str, spot: Spot) -> None:
    bare = name.removesuffix(".$") if spot.language is QueryLanguage.JSONPATH else name
    if bare == "states":
        spot.error("Variable name 'states' is reserved")
    elif len(bare) > MAX_VARIABLE_NAME:
        spot.error(f"Variable name '{bare}' is longer than {MAX_VARIABLE_NAME} characters")
    elif not _VARIABLE.fullmatch(bare):
        spot.error(f"Variable name '{bare}' is not valid")
