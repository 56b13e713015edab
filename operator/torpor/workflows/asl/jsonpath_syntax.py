"""The grammar of JSONPath: a text becomes a tuple of segments (and predicates, in filters).

AWS evaluates JSONPath with Jayway's library, so this is Jayway's dialect, plus the two roots that
the States Language adds: `$$` (the context object) and `$name` (a variable).
"""

from __future__ import annotations

import json
import re
from typing import Final, NoReturn

from torpor.expressions.regex import Regex, compile_regex
from torpor.workflows.asl.jsonpath_nodes import (
    Call,
    Comparison,
    Condition,
    Descend,
    Filter,
    Indices,
    Literal,
    Logic,
    Names,
    Operand,
    Pattern,
    Query,
    Segment,
    Slice,
    Wildcard,
)
from torpor.workflows.asl.scope import Json

_ROOT: Final = re.compile(r"\$\$|\$[A-Za-z_][A-Za-z0-9_]*|\$|@")
_BARE_NAME: Final = re.compile(r"[^\s.\[\]()'\",*?:@$]+")
_NAME_IN_FILTER: Final = re.compile(r"[^\s.\[\]()'\",*?:@$=!<>~&|]+")
_INTEGERS: Final = re.compile(r"\s*-?\d+\s*(?:,\s*-?\d+\s*)*\]")
_SLICE: Final = re.compile(r"\s*(-?\d+)?\s*:\s*(-?\d+)?\s*(?::\s*(-?\d+)?\s*)?\]")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_OPERATOR: Final = re.compile(
    r"===|!==|==|!=|<=|>=|=~|<|>|\b(?:in|nin|subsetof|anyof|noneof|size|empty|contains)\b",
    re.IGNORECASE,
)
_REGEX: Final = re.compile(r"/((?:[^/\\]|\\.)*)/([a-zA-Z]*)")
_NO_MATTER: Final = str.maketrans("", "", "duU")
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_MAX_DEPTH: Final = 64

NUMBER_FUNCTIONS: Final = ("min", "max", "avg", "sum", "stddev")
ITEM_FUNCTIONS: Final = ("first", "last", "index")
FUNCTIONS: Final = frozenset(
    [*NUMBER_FUNCTIONS, *ITEM_FUNCTIONS, "length", "size", "keys", "concat", "append"]
)


def parse(text: str) -> Query:
    """The parsed path; ValueError with a reason when it is not JSONPath."""
    reader = _Reader(text.strip())
    query = reader.query()
    if reader.at < len(reader.text):
        reader.fail("unexpected character")
    if query.root == "@":
        reader.fail("a path starts with $")
    return query


class _Reader:
    """A recursive descent over one text; `at` is the position of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def fail(self, reason: str) -> NoReturn:
        raise ValueError(f"invalid JSONPath '{self.text}': {reason} at position {self.at}")

    def skip_blanks(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def take(self, token: str) -> bool:
        """Whether `token` comes next; it is then consumed."""
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def expect(self, token: str) -> None:
        self.skip_blanks()
        if not self.take(token):
            self.fail(f"'{token}' expected")

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def query(self) -> Query:
        root = self.match(_ROOT)
        if root is None:
            self.fail("a path starts with $")
        segments: list[Segment] = []
        while self.text.startswith((".", "["), self.at):
            segments.extend(self.segment())
            if isinstance(segments[-1], Call):
                break
        return Query(root[0], tuple(segments))

    def segment(self) -> list[Segment]:
        if self.take(".."):
            below = [self.bracket()] if self.take("[") else [self.dotted()]
            return [Descend(), *below]
        if self.take("."):
            return [self.bracket()] if self.take("[") else [self.dotted()]
        self.expect("[")
        return [self.bracket()]

    def dotted(self) -> Segment:
        if self.take("*"):
            return Wildcard()
        # In a filter a name ends where an operator starts, with or without a space between them.
        name = self.match(_NAME_IN_FILTER if self.depth else _BARE_NAME)
        if name is None:
            self.fail("a name expected")
        if not self.take("("):
            return Names((name[0],))
        if name[0] not in FUNCTIONS:
            self.fail(f"unknown function {name[0]}()")
        return Call(name[0], self.call_arguments())

    def call_arguments(self) -> tuple[Json, ...]:
        values: list[Json] = []
        self.skip_blanks()
        while not self.take(")"):
            operand = self.operand()
            if not isinstance(operand, Literal):
                self.fail("only constants can be arguments")
            values.append(operand.value)
            self.skip_blanks()
            self.take(",")
            self.skip_blanks()
        return tuple(values)

    def bracket(self) -> Segment:
        self.skip_blanks()
        if self.take("?"):
            return self.filter()
        if self.take("*"):
            self.expect("]")
            return Wildcard()
        if self.text.startswith(("'", '"'), self.at):
            return self.quoted_names()
        if integers := self.match(_INTEGERS):
            return Indices(tuple(int(part) for part in integers[0][:-1].split(",")))
        if bounds := self.match(_SLICE):
            return Slice(slice(*(int(bound) if bound else None for bound in bounds.groups())))
        self.fail("a name in quotes, an index, a slice, * or ?() expected")

    def quoted_names(self) -> Names:
        names = [self.quoted()]
        self.skip_blanks()
        while self.take(","):
            self.skip_blanks()
            names.append(self.quoted())
            self.skip_blanks()
        self.expect("]")
        return Names(tuple(names))

    def quoted(self) -> str:
        if not self.text.startswith(("'", '"'), self.at):
            self.fail("a quoted text expected")
        quote = self.text[self.at]
        letters: list[str] = []
        self.at += 1
        while self.at < len(self.text):
            letter = self.text[self.at]
            self.at += 1
            if letter == quote:
                return "".join(letters)
            if letter == "\\" and self.at < len(self.text):
                letter = self.text[self.at]
                self.at += 1
            letters.append(letter)
        self.fail("a quote is not closed")

    def filter(self) -> Filter:
        self.expect("(")
        condition = self.any_of()
        self.expect(")")
        self.expect("]")
        return Filter(condition)

    def any_of(self) -> Condition:
        conditions = [self.all_of()]
        while self.take_operator("||"):
            conditions.append(self.all_of())
        return conditions[0] if len(conditions) == 1 else Logic("||", tuple(conditions))

    def all_of(self) -> Condition:
        conditions = [self.condition()]
        while self.take_operator("&&"):
            conditions.append(self.condition())
        return conditions[0] if len(conditions) == 1 else Logic("&&", tuple(conditions))

    def take_operator(self, operator: str) -> bool:
        self.skip_blanks()
        return self.take(operator)

    def condition(self) -> Condition:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self.fail("a filter is nested too deep")
        self.skip_blanks()
        try:
            if self.take("!"):
                return Logic("!", (self.condition(),))
            if self.take("("):
                inner = self.any_of()
                self.expect(")")
                return inner
            return self.comparison()
        finally:
            self.depth -= 1

    def comparison(self) -> Comparison:
        left = self.operand()
        self.skip_blanks()
        operator = self.match(_OPERATOR)
        if operator is None:
            return Comparison(left)
        self.skip_blanks()
        return Comparison(left, operator[0].lower(), self.operand())

    def operand(self) -> Operand:
        self.skip_blanks()
        if self.text.startswith(("@", "$"), self.at):
            return self.query()
        if self.text.startswith(("'", '"'), self.at):
            return Literal(self.quoted())
        if number := self.match(_NUMBER):
            return Literal(json.loads(number[0]))
        if regex := self.match(_REGEX):
            return Pattern(self.regex(regex[1], regex[2]))
        for word, value in _CONSTANTS.items():
            if self.take(word):
                return Literal(value)
        if self.take("["):
            return Literal(self.array())
        self.fail("a value expected")

    def regex(self, source: str, flags: str) -> Regex:
        try:
            # Java's other flags say how far case and line ends are Unicode's.
            return compile_regex(source, flags.translate(_NO_MATTER))
        except ValueError as invalid:
            self.fail(f"bad regular expression: {invalid}")

    def array(self) -> list[Json]:
        values: list[Json] = []
        self.skip_blanks()
        while not self.take("]"):
            operand = self.operand()
            if not isinstance(operand, Literal):
                self.fail("an array in a filter holds constants")
            values.append(operand.value)
            self.skip_blanks()
            self.take(",")
            self.skip_blanks()
        return values
