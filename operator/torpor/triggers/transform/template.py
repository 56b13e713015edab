"""Templates: JSON whose strings may hold `${JMESPath}`.

A string that is one expression takes its value with its type; in a longer string the value becomes
text (JSON for what is no string, nothing for null). `$${` stands for `${`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from torpor.errors import InvalidResource
from torpor.expressions.values import Json, json_text
from torpor.triggers.transform.bounded_jmespath import (
    Expression,
    compile_expression,
    end_of_expression,
)
from torpor.triggers.transform.result import MAX_RESULT_BYTES, TransformFailed, Unfit, measure

MAX_DEPTH: Final = 32
"""How deep a template may nest."""

Fill = Callable[[Mapping[str, Json]], Json]


def compile_template(template: Json, path: str, depth: int = 0) -> Fill:
    """What fills the template with an event; raises InvalidResource with the place of an error."""
    if depth > MAX_DEPTH:
        raise InvalidResource(path, f"the template nests deeper than {MAX_DEPTH} levels")
    if isinstance(template, str):
        return _string(template, path)
    if isinstance(template, Mapping):
        return _object(
            {
                str(name): compile_template(member, f"{path}.{name}", depth + 1)
                for name, member in template.items()
            }
        )
    if isinstance(template, list | tuple):
        return _array(
            [
                compile_template(item, f"{path}[{index}]", depth + 1)
                for index, item in enumerate(template)
            ]
        )
    return lambda event: template


def _object(members: dict[str, Fill]) -> Fill:
    parts = tuple(members.items())
    return lambda event: {name: fill(event) for name, fill in parts}


def _array(items: list[Fill]) -> Fill:
    return lambda event: [fill(event) for fill in items]


def _string(text: str, path: str) -> Fill:
    pieces = _pieces(text, path)
    if not any(isinstance(piece, Expression) for piece in pieces):
        whole = "".join(map(str, pieces))
        return lambda event: whole
    if len(pieces) == 1 and isinstance(pieces[0], Expression):
        return _value(pieces[0], path)
    fills = [_value(one, path) if isinstance(one, Expression) else one for one in pieces]
    return lambda event: "".join(
        one if isinstance(one, str) else _shown(one(event)) for one in fills
    )


def _value(expression: Expression, path: str) -> Fill:
    def fill(event: Mapping[str, Json]) -> Json:
        try:
            value = expression.search(event)
            measure(value, MAX_RESULT_BYTES)
        except Unfit as unfit:
            raise TransformFailed(path, str(unfit)) from unfit
        return value

    return fill


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json_text(value)


def _pieces(text: str, path: str) -> list[str | Expression]:
    """The plain parts and the expressions of a string, in order."""
    pieces: list[str | Expression] = []
    plain = ""
    position = 0
    while (found := text.find("${", position)) >= 0:
        if found > position and text[found - 1] == "$":
            plain += text[position : found - 1] + "${"
            position = found + 2
            continue
        plain += text[position:found]
        end = end_of_expression(text, found + 2)
        if end < 0:
            raise InvalidResource(
                path, "an expression has no end: close '${' by '}', or write '$${'"
            )
        if plain:
            pieces.append(plain)
        pieces.append(_compiled(text[found + 2 : end], path))
        plain, position = "", end + 1
    plain += text[position:]
    return [*pieces, plain] if plain or not pieces else pieces


def _compiled(text: str, path: str) -> Expression:
    try:
        return compile_expression(text.strip())
    except ValueError as invalid:
        raise InvalidResource(path, str(invalid)) from invalid
