"""JSONPath as the States Language uses it: compiled once, read many times, and ResultPath's write.

Plain paths (names and indices) become a short loop over item look-ups; everything else runs the
selectors of `jsonpath_select`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn

from torpor.expressions.values import ABSENT, json_text
from torpor.workflows.asl import fault
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.jsonpath_nodes import Indices, Names, Query, Segment
from torpor.workflows.asl.jsonpath_select import Roots, evaluator, is_definite
from torpor.workflows.asl.jsonpath_syntax import parse
from torpor.workflows.asl.scope import Json, Scope

Steps = tuple[str | int, ...]
Read = Callable[[Scope, Json], Json]

_CACHED_PATHS: Final = 8192


class PathNotFound(LookupError):
    """A definite path leads nowhere. `path` is its text; the message is in AWS's words."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """A compiled path.

    `read(scope, data)` gives the value (a list for an indefinite path) and raises `PathNotFound`;
    `steps` are the names and indices of a plain path, None for any other.
    """

    text: str
    root: str
    is_definite: bool
    steps: Steps | None
    read: Read

    @property
    def is_reference(self) -> bool:
        """Whether this is a Reference Path: one node, by names and indices from the front."""
        return self.steps is not None and all(
            isinstance(step, str) or step >= 0 for step in self.steps
        )

    def __repr__(self) -> str:
        return f"Path({self.text})"


@lru_cache(_CACHED_PATHS)
def compile_path(text: str) -> Path:
    """The compiled path; ValueError with a reason when the text is not JSONPath."""
    query = parse(text)
    steps = _plain_steps(query.segments)
    read = _plain_reader(text, query.root, steps) if steps is not None else _reader(text, query)
    return Path(text, query.root, is_definite(query.segments), steps, read)


def write_reference(path: str | Path, document: Json, value: Json) -> Json:
    """A copy of `document` with `value` at a Reference Path; the rest is shared with the original.

    Missing objects on the way are created. A path through anything that is not an object or an
    existing array element is a States.ResultPathMatchFailure (ASL, "ResultPath").
    """
    compiled = compile_path(path) if isinstance(path, str) else path
    if compiled.steps is None or compiled.root != "$":
        raise ValueError(f"{compiled.text} is not a Reference Path into the input")
    try:
        return _write(document, compiled.steps, value)
    except LookupError as mismatch:
        cause = f"Unable to apply ReferencePath {compiled.text} to input {json_text(document)}"
        raise Fault(fault.RESULT_PATH_MATCH, cause) from mismatch


def _write(node: Json, steps: Steps, value: Json) -> Json:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        if not isinstance(node, list) or not 0 <= step < len(node):
            raise LookupError(step)
        return [*node[:step], _write(node[step], rest, value), *node[step + 1 :]]
    if not isinstance(node, dict):
        raise LookupError(step)
    return {**node, step: _write(node.get(step, {}), rest, value)}


def _plain_steps(segments: tuple[Segment, ...]) -> Steps | None:
    steps: list[str | int] = []
    for segment in segments:
        match segment:
            case Names(names=(name,)):
                steps.append(name)
            case Indices(indices=(index,)):
                steps.append(index)
            case _:
                return None
    return tuple(steps)


def _root_reader(text: str, root: str) -> Read:
    if root == "$":
        return lambda scope, data: data
    if root == "$$":
        return lambda scope, data: scope.context
    name = root[1:]

    def read(scope: Scope, data: Json) -> Json:
        try:
            return scope.variables[name]
        except KeyError:
            raise PathNotFound(text, f"No results for path: {root}") from None

    return read


def _plain_reader(text: str, root: str, steps: Steps) -> Read:
    start = _root_reader(text, root)
    if not steps:
        return start
    if root == "$" and not any(isinstance(step, int) for step in steps):
        return _names_reader(text, steps)

    def read(scope: Scope, data: Json) -> Json:
        node = start(scope, data)
        for step in steps:
            if (type(step) is int) is not (type(node) is list):
                _miss(text, root, steps, start(scope, data))
            try:
                node = node[step]
            except (LookupError, TypeError):
                _miss(text, root, steps, start(scope, data))
        return node

    return read


def _names_reader(text: str, names: Steps) -> Read:
    """The commonest path of all, `$.a.b`, without a test in its loop."""
    if len(names) == 1:
        (name,) = names

        def read_one(scope: Scope, data: Json) -> Json:
            try:
                return data[name]
            except (LookupError, TypeError):
                _miss(text, "$", names, data)

        return read_one

    def read(scope: Scope, data: Json) -> Json:
        node = data
        try:
            for name in names:
                node = node[name]
        except (LookupError, TypeError):
            _miss(text, "$", names, data)
        return node

    return read


def _miss(text: str, root: str, steps: Steps, node: Json) -> NoReturn:
    """Raise `PathNotFound` with the words of Jayway's library for the first step that fails."""
    passed = root
    for position, step in enumerate(steps):
        if isinstance(step, int):
            _check_array(text, passed, step, node)
            if not -len(node) <= step < len(node):
                break
        elif not isinstance(node, dict):
            raise PathNotFound(text, _not_an_object(passed, step, node))
        elif step not in node:
            if position < len(steps) - 1:
                raise PathNotFound(text, f"Missing property in path {passed}{_bracket(step)}")
            break
        node, passed = node[step], passed + _bracket(step)
    raise PathNotFound(text, f"No results for path: {root}{''.join(map(_bracket, steps))}")


def _check_array(text: str, passed: str, index: int, node: Json) -> None:
    if node is None:
        raise PathNotFound(text, f"The path {passed} is null")
    if not isinstance(node, list):
        context = node if isinstance(node, str) else json_text(node)
        raise PathNotFound(
            text, f"Filter: [{index}] can only be applied to arrays. Current context is: {context}"
        )


def _not_an_object(passed: str, name: str, node: Json) -> str:
    return (
        f"Expected to find an object with property ['{name}'] in path {passed} but found "
        f"'{_java_type(node)}'. This is not a json object according to the JsonProvider: "
        "'com.jayway.jsonpath.spi.json.JacksonJsonNodeJsonProvider'."
    )


def _java_type(node: Json) -> str:
    kinds = ((list, "Array"), (bool, "Boolean"), (int, "Int"), (float, "Double"), (str, "Text"))
    for kind, name in kinds:
        if isinstance(node, kind):
            return f"com.fasterxml.jackson.databind.node.{name}Node"
    return "null" if node is None else type(node).__name__


def _bracket(step: str | int) -> str:
    return f"[{step}]" if isinstance(step, int) else f"['{step}']"


def _reader(text: str, query: Query) -> Read:
    start = _root_reader(text, query.root)
    evaluate = evaluator(query.segments)

    def read(scope: Scope, data: Json) -> Json:
        def find(root: str) -> Json:
            return scope.context if root == "$$" else scope.variables.get(root[1:], ABSENT)

        node = start(scope, data)
        value = evaluate(node, Roots(node, find))
        if value is ABSENT:
            raise PathNotFound(text, f"No results for path: {text}")
        return value

    return read
