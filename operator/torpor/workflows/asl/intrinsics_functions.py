"""The 18 intrinsic functions of the States Language, as plain functions of their arguments.

Each raises `InvalidArgument` for what AWS refuses at run time.
"""

from __future__ import annotations

import base64
import random
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from torpor.expressions.jsonata_functions import hash_text
from torpor.expressions.values import (
    Entropy,
    equal,
    identity,
    is_number,
    json_text,
    nearest_integer,
    parse_json,
)
from torpor.workflows.asl.intrinsics_parse import unescape
from torpor.workflows.asl.scope import Json

MAX_TEXT_CHARACTERS: Final = 10_000
MAX_FORMAT_CHARACTERS: Final = 6_990_256
"""What the arguments of a format may add to it: as much as one JSONata value may hold."""
MAX_PARSED_CHARACTERS: Final = 1_048_576
"""How long a JSON text may be: nothing else runs while it is parsed."""
MAX_RANGE_ITEMS: Final = 1_000

_PLACE: Final = re.compile(r"((?:[^\\{]|\\.|\{(?!\}))*)(\{\})?", re.DOTALL)
_INT_LIMIT: Final = 2**31


class InvalidArgument(ValueError):
    """An argument that a function does not take; the message says why, and may be empty."""


@dataclass(frozen=True, slots=True)
class Function:
    """An intrinsic: how many arguments it takes (no upper bound: None) and what it does."""

    least: int
    most: int | None
    run: Callable[[list[Json], Entropy], Json]


def format_parts(template: str) -> tuple[str, ...]:
    """A format template (escapes still in it) cut at its `{}`, each part unescaped."""
    parts: list[str] = []
    position = 0
    while True:
        found = _PLACE.match(template, position)
        assert found is not None
        parts.append(unescape(found[1]))
        if found[2] is None:
            rest = template[found.end() :]
            return (*parts[:-1], parts[-1] + rest)
        position = found.end()


def fill(parts: tuple[str, ...], arguments: list[Json]) -> str:
    """A format's text: `parts` with the arguments between them."""
    if len(arguments) != len(parts) - 1:
        raise InvalidArgument("number of arguments do not match the occurrences of {}.")
    texts, left = [parts[0]], MAX_FORMAT_CHARACTERS
    for argument, part in zip(arguments, parts[1:], strict=True):
        text = argument if isinstance(argument, str) else json_text(argument)
        left -= len(text)
        if left < 0:
            raise InvalidArgument(f"the text is longer than {MAX_FORMAT_CHARACTERS} characters")
        texts += (text, part)
    return "".join(texts)


def _array(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise InvalidArgument("an array expected")
    return value


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise InvalidArgument("a string expected")
    return value


def _short_text(value: Json) -> str:
    text = _text(value)
    if len(text) > MAX_TEXT_CHARACTERS:
        raise InvalidArgument(f"the string is longer than {MAX_TEXT_CHARACTERS} characters")
    return text


def _integer(value: Json) -> int:
    if not is_number(value):
        raise InvalidArgument("a number expected")
    if abs(value) > sys.float_info.max:
        raise InvalidArgument("the number is out of range")
    return nearest_integer(value)


def _int32(value: int) -> int:
    if not -_INT_LIMIT <= value < _INT_LIMIT:
        raise InvalidArgument("the number is out of range")
    return value


def _format(arguments: list[Json], entropy: Entropy) -> Json:
    return fill(format_parts(_text(arguments[0])), arguments[1:])


def _string_to_json(arguments: list[Json], entropy: Entropy) -> Json:
    text = _text(arguments[0])
    if not text.strip():
        return None
    if len(text) > MAX_PARSED_CHARACTERS:
        raise InvalidArgument(f"the string is longer than {MAX_PARSED_CHARACTERS} characters")
    try:
        return parse_json(text)
    except ValueError as invalid:
        raise InvalidArgument(f"the string is not JSON: {invalid}") from invalid


def _array_partition(arguments: list[Json], entropy: Entropy) -> Json:
    items, size = _array(arguments[0]), _integer(arguments[1])
    if size < 1:
        raise InvalidArgument("the chunk size is not positive")
    return [items[start : start + size] for start in range(0, len(items), size)]


def _array_contains(arguments: list[Json], entropy: Entropy) -> Json:
    wanted = arguments[1]
    return any(equal(item, wanted) for item in _array(arguments[0]))


def _array_range(arguments: list[Json], entropy: Entropy) -> Json:
    first, last, step = (_int32(_integer(argument)) for argument in arguments)
    if step == 0:
        raise InvalidArgument("the step is zero")
    numbers = range(first, last + (1 if step > 0 else -1), step)
    if len(numbers) > MAX_RANGE_ITEMS:
        raise InvalidArgument(f"the range is longer than {MAX_RANGE_ITEMS} items")
    return list(numbers)


def _array_get_item(arguments: list[Json], entropy: Entropy) -> Json:
    items, index = _array(arguments[0]), _integer(arguments[1])
    if not 0 <= index < len(items):
        raise InvalidArgument(f"index {index} is out of bounds")
    return items[index]


def _array_unique(arguments: list[Json], entropy: Entropy) -> Json:
    first: dict[str, Json] = {}
    for item in _array(arguments[0]):
        first.setdefault(identity(item), item)
    return list(first.values())


def _base64_encode(arguments: list[Json], entropy: Entropy) -> Json:
    return base64.b64encode(_short_text(arguments[0]).encode(errors="replace")).decode()


def _base64_decode(arguments: list[Json], entropy: Entropy) -> Json:
    text = _short_text(arguments[0])
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError as invalid:  # binascii.Error and UnicodeError are among them
        raise InvalidArgument(f"the string is not Base64: {invalid}") from invalid


def _hash(arguments: list[Json], entropy: Entropy) -> Json:
    data = arguments[0] if isinstance(arguments[0], str) else json_text(arguments[0])
    try:
        return hash_text(_short_text(data), _text(arguments[1]))
    except ValueError as unknown:
        raise InvalidArgument(str(unknown)) from unknown


def _json_merge(arguments: list[Json], entropy: Entropy) -> Json:
    left, right, deep = arguments
    if not isinstance(left, dict) or not isinstance(right, dict):
        raise InvalidArgument("two objects expected")
    if deep is not False:
        raise InvalidArgument("only shallow merging (false) is supported")
    return {**left, **right}


def _math_random(arguments: list[Json], entropy: Entropy) -> Json:
    start, end = _int32(_integer(arguments[0])), _int32(_integer(arguments[1]))
    if start >= end:
        raise InvalidArgument("the start is not below the end")
    if len(arguments) < 3:
        return start + int(entropy.random() * (end - start))
    seeded = random.Random(_integer(arguments[2]))  # noqa: S311 - reproducible on purpose
    return seeded.randrange(start, end)


def _math_add(arguments: list[Json], entropy: Entropy) -> Json:
    left, right = map(_integer, arguments)
    return _int32(_int32(left) + _int32(right))


def _string_split(arguments: list[Json], entropy: Entropy) -> Json:
    text, separators = _text(arguments[0]), _text(arguments[1])
    if not separators:
        return [text]
    return [part for part in re.split(f"[{re.escape(separators)}]", text) if part]


FUNCTIONS: Final[dict[str, Function]] = {
    "States.Format": Function(1, None, _format),
    "States.StringToJson": Function(1, 1, _string_to_json),
    "States.JsonToString": Function(1, 1, lambda arguments, _: json_text(arguments[0])),
    "States.Array": Function(0, None, lambda arguments, _: arguments),
    "States.ArrayPartition": Function(2, 2, _array_partition),
    "States.ArrayContains": Function(2, 2, _array_contains),
    "States.ArrayRange": Function(3, 3, _array_range),
    "States.ArrayGetItem": Function(2, 2, _array_get_item),
    "States.ArrayLength": Function(1, 1, lambda arguments, _: len(_array(arguments[0]))),
    "States.ArrayUnique": Function(1, 1, _array_unique),
    "States.Base64Encode": Function(1, 1, _base64_encode),
    "States.Base64Decode": Function(1, 1, _base64_decode),
    "States.Hash": Function(2, 2, _hash),
    "States.JsonMerge": Function(3, 3, _json_merge),
    "States.MathRandom": Function(2, 3, _math_random),
    "States.MathAdd": Function(2, 2, _math_add),
    "States.StringSplit": Function(2, 2, _string_split),
    "States.UUID": Function(0, 0, lambda arguments, entropy: entropy.uuid()),
}
"""Every intrinsic function, by its name."""
