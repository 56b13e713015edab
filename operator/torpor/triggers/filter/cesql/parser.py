"""Reads tokens into a syntax tree, by the precedence of CESQL, section 3.6.

Highest first: NOT and `-`; LIKE and IN; `* / %`; `+ -`; comparisons; AND, OR and XOR alike.
"""

from __future__ import annotations

from typing import Final

from torpor.triggers.filter.cesql.failures import CesqlError
from torpor.triggers.filter.cesql.lexer import Token, TokenKind, tokens
from torpor.triggers.filter.cesql.syntax import (
    Attribute,
    Binary,
    Call,
    Chain,
    Exists,
    In,
    Like,
    Literal,
    Logic,
    Minus,
    Node,
    Not,
    Operator,
)
from torpor.triggers.filter.cesql.values import MAX_INTEGER, MIN_INTEGER

MAX_DEPTH: Final = 64
"""How deep operators, functions and parentheses may nest."""

_LEVELS: Final = (
    {"=", "!=", "<>", "<", "<=", ">", ">="},
    {"+", "-"},
    {"*", "/", "%"},
)
_KEYWORDS: Final = frozenset("AND OR XOR NOT LIKE IN EXISTS TRUE FALSE".split())  # noqa: SIM905


def parse(text: str) -> Node:
    """The syntax tree of an expression; raises CesqlError."""
    return _Parser(tokens(text)).whole()


class _Parser:
    """One reading; `_next` is the token that comes."""

    def __init__(self, found: tuple[Token, ...]) -> None:
        self._tokens = found
        self._index = 0
        self._depth = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._index]

    def whole(self) -> Node:
        node = self._expression()
        if self._next.kind is not TokenKind.END:
            raise self._unexpected("an operator or the end of the expression")
        return node

    def _expression(self) -> Node:
        """AND, OR and XOR have one precedence and go from left to right."""
        self._enter()
        first, rest = self._operation(0), []
        while self._is_word(*Logic):
            logic = Logic(self._take().text)
            rest.append((logic, self._operation(0)))
        self._depth -= 1
        return Chain(first, tuple(rest)) if rest else first

    def _operation(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._tested()
        node = self._operation(level + 1)
        before = self._depth
        while self._is_symbol(*_LEVELS[level]):
            self._enter()
            symbol = self._take().text
            operator = Operator.NOT_EQUAL if symbol == "<>" else Operator(symbol)
            node = Binary(operator, node, self._operation(level + 1))
        self._depth = before
        return node

    def _tested(self) -> Node:
        """An operand with any LIKE and IN behind it."""
        node = self._unary()
        before = self._depth
        while self._is_word("LIKE", "IN", "NOT"):
            self._enter()
            negated = self._is_word("NOT")
            if negated:
                self._take()
            if self._is_word("LIKE"):
                self._take()
                node = Like(node, self._expect(TokenKind.STRING, "a pattern in quotes"), negated)
            elif self._is_word("IN"):
                self._take()
                node = In(node, self._members(), negated)
            else:
                raise self._unexpected("LIKE or IN")
        self._depth = before
        return node

    def _unary(self) -> Node:
        before = self._depth
        self._enter()
        node = self._prefixed()
        self._depth = before
        return node

    def _prefixed(self) -> Node:
        if self._is_word("NOT"):
            self._take()
            return Not(self._unary())
        if self._is_symbol("-", "+"):
            if self._signs_an_integer():
                sign = self._take().text
                return self._integer(sign)
            if self._is_symbol("-"):
                self._take()
                return Minus(self._unary())
        return self._primary()

    def _signs_an_integer(self) -> bool:
        sign, number = self._next, self._tokens[self._index + 1]
        return number.kind is TokenKind.INTEGER and number.position == sign.end

    def _primary(self) -> Node:
        token = self._next
        if token.kind is TokenKind.INTEGER:
            return self._integer("")
        if token.kind is TokenKind.STRING:
            return Literal(self._take().text)
        if self._is_symbol("("):
            self._take()
            node = self._expression()
            self._expect_symbol(")")
            return node
        if token.kind is TokenKind.WORD:
            return self._word()
        raise self._unexpected("an attribute, a value, a function or '('")

    def _word(self) -> Node:
        word = self._take()
        if word.text in ("TRUE", "FALSE"):
            return Literal(word.text == "TRUE")
        if word.text == "EXISTS":
            return Exists(self._attribute_name(self._take()))
        if self._is_symbol("(") and word.text not in _KEYWORDS:
            return Call(self._function_name(word), self._arguments())
        return Attribute(self._attribute_name(word))

    def _integer(self, sign: str) -> Literal:
        token = self._take()
        digits = token.text.lstrip("0")
        value = int(sign + digits) if 0 < len(digits) <= 10 else 0
        if len(digits) > 10 or not MIN_INTEGER <= value <= MAX_INTEGER:
            raise CesqlError("the integer does not fit in 32 bits", token.position)
        return Literal(value)

    def _members(self) -> tuple[Node, ...]:
        self._expect_symbol("(")
        return self._list_to_parenthesis()

    def _arguments(self) -> tuple[Node, ...]:
        self._expect_symbol("(")
        if self._is_symbol(")"):
            self._take()
            return ()
        return self._list_to_parenthesis()

    def _list_to_parenthesis(self) -> tuple[Node, ...]:
        found = [self._expression()]
        while self._is_symbol(","):
            self._take()
            found.append(self._expression())
        self._expect_symbol(")")
        return tuple(found)

    def _attribute_name(self, word: Token) -> str:
        if word.kind is not TokenKind.WORD or word.text in _KEYWORDS or "_" in word.text:
            raise CesqlError("an attribute's name has letters and digits only", word.position)
        return word.text.lower()

    def _function_name(self, word: Token) -> str:
        if not word.text[0].isalpha() or not word.text.replace("_", "").isalpha():
            raise CesqlError("a function's name has letters and '_' only", word.position)
        return word.text

    def _is_word(self, *words: str) -> bool:
        return self._next.kind is TokenKind.WORD and self._next.text in words

    def _is_symbol(self, *symbols: str) -> bool:
        return self._next.kind is TokenKind.SYMBOL and self._next.text in symbols

    def _take(self) -> Token:
        token = self._next
        if token.kind is not TokenKind.END:
            self._index += 1
        return token

    def _expect(self, kind: TokenKind, what: str) -> str:
        if self._next.kind is not kind:
            raise self._unexpected(what)
        return self._take().text

    def _expect_symbol(self, symbol: str) -> None:
        if not self._is_symbol(symbol):
            raise self._unexpected(f"'{symbol}'")
        self._take()

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise CesqlError(f"it nests deeper than {MAX_DEPTH} levels", self._next.position)

    def _unexpected(self, wanted: str) -> CesqlError:
        token = self._next
        found = "the end" if token.kind is TokenKind.END else repr(token.text)
        return CesqlError(f"{wanted} is expected here, not {found}", token.position)
