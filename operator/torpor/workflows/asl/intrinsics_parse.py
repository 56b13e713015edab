"""The grammar of intrinsic function calls: `States.Format('{} of {}', $.a, States.UUID())`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final, NoReturn

from torpor.workflows.asl.jsonpath import Path, compile_path
from torpor.workflows.asl.scope import Json

MAX_NESTING: Final = 10
"""How many calls may be inside each other (AWS's limit)."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal argument; `raw` is the text between the quotes, with its escapes."""

    value: Json
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of `function`; `text` is the call as written."""

    function: str
    arguments: tuple[Argument, ...]
    text: str


Argument = Constant | Path | Call

_NAME: Final = re.compile(r"States\.([A-Za-z0-9]+)\s*\(")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])")
_WORD: Final = re.compile(r"(null|true|false)\b")
_STRING: Final = re.compile(r"'((?:[^'\\]|\\['{}\\])*)'")
_ESCAPE: Final = re.compile(r"\\(['{}\\])")
_WORDS: Final = {"null": None, "true": True, "false": False}
_CLOSING: Final = {"(": ")", "[": "]"}


def parse_call(text: str) -> Call:
    """The parsed call; ValueError with a reason when the text is not one."""
    reader = _Reader(text.strip())
    call = reader.call(MAX_NESTING)
    if reader.at < len(reader.text):
        reader.fail("unexpected text after the call")
    return call


def unescape(raw: str) -> str:
    """A quoted text without its escapes."""
    return _ESCAPE.sub(r"\1", raw)


class _Reader:
    """A recursive descent over one text; `at` is the position of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, reason: str) -> NoReturn:
        raise ValueError(f"invalid intrinsic call '{self.text}': {reason} at position {self.at}")

    def skip_blanks(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def take(self, token: str) -> bool:
        self.skip_blanks()
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def call(self, depth: int) -> Call:
        if depth == 0:
            self.fail(f"calls are nested deeper than {MAX_NESTING}")
        start = self.at
        name = _NAME.match(self.text, self.at)
        if name is None:
            self.fail("States.Name( expected")
        self.at = name.end()
        arguments = self.arguments(depth)
        return Call(f"States.{name[1]}", arguments, self.text[start : self.at])

    def arguments(self, depth: int) -> tuple[Argument, ...]:
        if self.take(")"):
            return ()
        arguments = [self.argument(depth)]
        while self.take(","):
            arguments.append(self.argument(depth))
        if not self.take(")"):
            self.fail("',' or ')' expected")
        return tuple(arguments)

    def argument(self, depth: int) -> Argument:
        self.skip_blanks()
        if self.text.startswith("'", self.at):
            return self.string()
        if self.text.startswith("$", self.at):
            return compile_path(self.path_text())
        if self.text.startswith("States.", self.at):
            return self.call(depth - 1)
        if number := _NUMBER.match(self.text, self.at):
            self.at = number.end()
            return Constant(json.loads(number[0]))
        if word := _WORD.match(self.text, self.at):
            self.at = word.end()
            return Constant(_WORDS[word[1]])
        self.fail("an argument expected")

    def string(self) -> Constant:
        found = _STRING.match(self.text, self.at)
        if found is None:
            self.fail("a quote is not closed, or an escape is not one of \\' \\{ \\} \\\\")
        self.at = found.end()
        return Constant(unescape(found[1]), raw=found[1])

    def path_text(self) -> str:
        """The text up to the comma or parenthesis that ends a path argument."""
        start, closing, quote = self.at, list[str](), ""
        while self.at < len(self.text):
            letter = self.text[self.at]
            if quote:
                self.at += letter == "\\"
                quote = "" if letter == quote else quote
            elif letter in "'\"":
                quote = letter
            elif letter in _CLOSING:
                closing.append(_CLOSING[letter])
            elif closing and letter == closing[-1]:
                closing.pop()
            elif not closing and letter in ",)":
                break
            self.at += 1
        return self.text[start : self.at].strip()
