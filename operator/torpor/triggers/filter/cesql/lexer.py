"""Cuts the text of an expression into tokens, each with its place for messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from torpor.triggers.filter.cesql.failures import CesqlError

MAX_CHARACTERS: Final = 8_192
"""How long an expression may be."""


class TokenKind(Enum):
    """What a token is; a word may be a keyword, an attribute or a function."""

    WORD = auto()
    INTEGER = auto()
    STRING = auto()
    SYMBOL = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text. `text` of a word is in upper case, of a string what it stands for."""

    kind: TokenKind
    text: str
    position: int
    end: int


_BLANK: Final = re.compile(r"[ \t\r\n]*")
_TOKEN: Final = re.compile(
    r"""
    (?P<word>[A-Za-z0-9_]+)
  | (?P<string>'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*")
  | (?P<symbol><=|>=|<>|!=|[-+*/%=<>(),])
    """,
    re.VERBOSE | re.DOTALL,
)


def tokens(text: str) -> tuple[Token, ...]:
    """The tokens, the last of kind END; raises CesqlError."""
    if len(text) > MAX_CHARACTERS:
        raise CesqlError(f"it is longer than {MAX_CHARACTERS} characters", MAX_CHARACTERS)
    found: list[Token] = []
    position = _skip(text, 0)
    while position < len(text):
        found.append(_token(text, position))
        position = _skip(text, found[-1].end)
    return (*found, Token(TokenKind.END, "", len(text), len(text)))


def _skip(text: str, position: int) -> int:
    blank = _BLANK.match(text, position)
    assert blank is not None
    return blank.end()


def _token(text: str, position: int) -> Token:
    match = _TOKEN.match(text, position)
    if match is None:
        if text[position] in "'\"":
            raise CesqlError("the string has no end", position)
        raise CesqlError(f"{text[position]!r} has no meaning here", position)
    piece, end = match.group(), match.end()
    if match.lastgroup == "string":
        return Token(TokenKind.STRING, _unquoted(piece), position, end)
    if match.lastgroup == "symbol":
        return Token(TokenKind.SYMBOL, piece, position, end)
    kind = TokenKind.INTEGER if piece.isdigit() else TokenKind.WORD
    return Token(kind, piece.upper(), position, end)


def _unquoted(literal: str) -> str:
    r"""What a literal stands for. Only its own quote is escaped: `\%` is for LIKE to read."""
    quote = literal[0]
    return re.sub(
        r"\\(.)",
        lambda pair: quote if pair[1] == quote else pair[0],
        literal[1:-1],
        flags=re.DOTALL,
    )
