"""JMESPath with a bound on the work of one evaluation: an expression is a tenant's.

What an expression builds is measured as it is built. Nothing else in the language can grow: there
are no loops, and what is compared or projected comes from the event or was built.
"""

from __future__ import annotations

from typing import Any, Final

from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature
from jmespath.parser import Parser
from jmespath.visitor import Options, TreeInterpreter

from torpor.triggers.transform.result import TooLarge, Unfit, measure

MAX_CHARACTERS: Final = 2_048
"""How long an expression may be."""

MAX_WORK_BYTES: Final = 16 * 1024 * 1024
"""How much one evaluation may build in all its steps."""

_BUILDERS: Final = frozenset(
    {"flatten", "function_expression", "multi_select_dict", "multi_select_list"}
)
_BROKEN: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Expression:
    """A compiled expression."""

    __slots__ = ("_tree", "text")

    def __init__(self, text: str, tree: Any) -> None:
        self.text = text
        self._tree = tree

    def search(self, data: Any) -> Any:
        """The value, None where there is none; raises Unfit with the reason of an error."""
        try:
            return _Interpreter().visit(self._tree, data)
        except Unfit:
            raise
        except RecursionError:
            raise Unfit(f"'{self.text}' nests too deep") from None
        except (JMESPathError, *_BROKEN) as failed:
            raise Unfit(f"'{self.text}' failed: {failed}") from failed


class _Functions(Functions):
    """The library's functions, but for one that could build too much at once."""

    @signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, array: list[str]) -> str:
        if len(separator) * len(array) > MAX_WORK_BYTES:
            raise Unfit(f"join() would build more than {MAX_WORK_BYTES} bytes")
        return separator.join(array)


class _Interpreter(TreeInterpreter):
    """The library's interpreter, which measures what is built."""

    def __init__(self) -> None:
        super().__init__(_OPTIONS)
        self._left_bytes = MAX_WORK_BYTES

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        """The value of a node."""
        value = super().visit(node, *args, **kwargs)
        if node["type"] in _BUILDERS:
            self._left_bytes -= self._measured(value)
        return value

    def _measured(self, value: Any) -> int:
        try:
            return measure(value, self._left_bytes)
        except TooLarge:
            raise Unfit(f"it builds more than {MAX_WORK_BYTES} bytes in all its steps") from None


_OPTIONS: Final = Options(custom_functions=_Functions())


def compile_expression(text: str) -> Expression:
    """The compiled expression; ValueError with a reason."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"an expression is longer than {MAX_CHARACTERS} characters")
    try:
        return Expression(text, Parser().parse(text).parsed)
    except RecursionError:
        raise ValueError(f"'{text}' nests too deep") from None
    except (JMESPathError, *_BROKEN) as invalid:
        raise ValueError(f"'{text}' is not JMESPath: {invalid}") from invalid
    except PendingDeprecationWarning as old:
        raise ValueError(f"'{text}' has a literal that is not JSON: {old}") from old


def end_of_expression(text: str, start: int) -> int:
    """Where the brace is that ends the expression which begins at `start`, -1 without one.

    Braces of the expression itself are paired, and those in quotes do not count.
    """
    open_braces = 0
    position = start
    while position < len(text):
        character = text[position]
        if character in "'\"`":
            position = _end_of_quote(text, position)
        elif character == "{":
            open_braces += 1
        elif character == "}" and open_braces == 0:
            return position
        elif character == "}":
            open_braces -= 1
        position += 1
    return -1


def _end_of_quote(text: str, start: int) -> int:
    position = start + 1
    while position < len(text) and text[position] != text[start]:
        position += 2 if text[position] == "\\" else 1
    return position
