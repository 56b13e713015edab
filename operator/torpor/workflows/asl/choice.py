"""The rules of a Choice state, compiled to one predicate each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torpor.expressions.values import ABSENT, json_text
from torpor.workflows.asl import fault
from torpor.workflows.asl.choice_operators import (
    COMPARISONS,
    OPERATORS,
    TYPE_TESTS,
    Operator,
    string_pattern,
)
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.jsonata import Expression, compile_jsonata, is_jsonata
from torpor.workflows.asl.jsonpath import Path, PathNotFound, Read, compile_path
from torpor.workflows.asl.mismatch import undefined, unexpected_type
from torpor.workflows.asl.scope import Json, QueryLanguage, Scope

Matches = Callable[[Scope, Json], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A compiled rule. `matches(scope, data)` may raise `Fault` for a path or condition."""

    matches: Matches
    uses_context: bool


def compile_choice_rule(
    rule: dict[str, Json], language: QueryLanguage, field: str = "Condition"
) -> Rule:
    """The compiled rule; `field` is where a JSONata condition stands (`Choices[0]/Condition`).

    Raises ValueError with a reason for an invalid rule.
    """
    if language is QueryLanguage.JSONATA:
        return _condition_rule(rule.get("Condition"), field)
    compiler = _Compiler()
    matches = compiler.rule(rule)
    return Rule(matches, compiler.uses_context)


class _Compiler:
    """Compiles one JSONPath rule, noting whether a path in it reads the context object."""

    def __init__(self) -> None:
        self.uses_context = False

    def rule(self, rule: dict[str, Json]) -> Matches:
        for name, combine in (("And", all_match), ("Or", any_matches)):
            if name in rule:
                return combine(tuple(self.rule(inner) for inner in rule[name]))
        if "Not" in rule:
            inner = self.rule(rule["Not"])
            return lambda scope, data: not inner(scope, data)
        return self.comparison(rule)

    def path(self, text: Json) -> Path:
        if not isinstance(text, str):
            raise ValueError("a path is a string")
        path = compile_path(text)
        self.uses_context |= "$$" in text
        return path

    def comparison(self, rule: dict[str, Json]) -> Matches:
        names = [name for name in rule if name in OPERATORS]
        if len(names) != 1 or "Variable" not in rule:
            raise ValueError("a rule has a Variable and exactly one comparison operator")
        (name,) = names
        variable, operand = self.path(rule["Variable"]), rule[name]
        if name == "IsPresent":
            return _is_present(variable, wanted=operand)
        read = _condition_read(variable)
        if name in TYPE_TESTS:
            return _type_test(read, TYPE_TESTS[name], wanted=operand)
        if name == "StringMatches":
            return _string_matches(read, operand)
        if name in COMPARISONS:
            return _constant_comparison(read, name, COMPARISONS[name], operand)
        right = _condition_read(self.path(operand))
        return _path_comparison(read, COMPARISONS[name.removesuffix("Path")], right)


def all_match(rules: tuple[Matches, ...]) -> Matches:
    """`And`: stops at the first rule that does not match."""

    def matches(scope: Scope, data: Json) -> bool:
        return all(rule(scope, data) for rule in rules)

    return matches


def any_matches(rules: tuple[Matches, ...]) -> Matches:
    """`Or`: stops at the first rule that matches."""

    def matches(scope: Scope, data: Json) -> bool:
        return any(rule(scope, data) for rule in rules)

    return matches


def _condition_read(path: Path) -> Read:
    read = path.read

    def checked(scope: Scope, data: Json) -> Json:
        try:
            return read(scope, data)
        except PathNotFound as missing:
            cause = (
                f"Invalid path '{path.text}': "
                "The choice state's condition path references an invalid value."
            )
            raise Fault(fault.RUNTIME, cause) from missing

    return checked


def _is_present(path: Path, *, wanted: Json) -> Matches:
    read = path.read

    def matches(scope: Scope, data: Json) -> bool:
        try:
            read(scope, data)
        except PathNotFound:
            return wanted is False
        return wanted is True

    return matches


def _type_test(read: Read, test: Callable[[Json], bool], *, wanted: Json) -> Matches:
    return lambda scope, data: test(read(scope, data)) is wanted


def _string_matches(read: Read, pattern: Json) -> Matches:
    if not isinstance(pattern, str):
        raise ValueError("the pattern of StringMatches is a string")
    test = string_pattern(pattern)

    def matches(scope: Scope, data: Json) -> bool:
        value = read(scope, data)
        return isinstance(value, str) and test(value)

    return matches


def _constant_comparison(read: Read, name: str, operator: Operator, operand: Json) -> Matches:
    prepared = operator.prepare(operand)
    if prepared is None:
        raise ValueError(f"{name} does not take the operand {json_text(operand)}")
    prepare, test = operator.prepare, operator.test

    def matches(scope: Scope, data: Json) -> bool:
        value = prepare(read(scope, data))
        return value is not None and test(value, prepared)

    return matches


def _path_comparison(left: Read, operator: Operator, right: Read) -> Matches:
    def matches(scope: Scope, data: Json) -> bool:
        value = left(scope, data)
        return operator.matches(value, operator.prepare(right(scope, data)))

    return matches


def _condition_rule(condition: Json, field: str) -> Rule:
    if isinstance(condition, bool):
        return Rule(lambda scope, data: condition, uses_context=False)
    if not isinstance(condition, str) or not is_jsonata(condition):
        raise ValueError("a Condition is a JSONata expression or a boolean")
    expression = compile_jsonata(condition[2:-2].strip())
    matches = _condition(expression, field)
    return Rule(matches, uses_context="$states" in condition)


def _condition(expression: Expression, field: str) -> Matches:
    def matches(scope: Scope, data: Json) -> bool:
        value = expression.evaluate(scope, field)
        if value is True or value is False:
            return bool(value)
        if value is ABSENT:
            raise undefined(expression.text, field)
        raise unexpected_type(expression.text, field, "boolean", value)

    return matches
