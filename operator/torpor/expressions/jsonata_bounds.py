"""What a JSONata expression may use: nesting, steps and memory, so that none can hang an engine.

The bound on time is a number of steps, not a clock: an expression that is refused once is refused
always. A step may be a regular expression over a long text: `regex` bounds that work.
"""

from __future__ import annotations

from typing import Any, Final

from jsonata.utils import Utils

from torpor.expressions.values import Json

MAX_DEPTH: Final = 100
"""How deep evaluation may nest: AWS's limit."""

MAX_STEPS: Final = 500_000
"""How many nodes of an expression may be evaluated: a few seconds of work."""

MAX_VALUE_BYTES: Final = 6_990_256
"""What one built value may hold, a character counting 1 and an array element 8: AWS's limit."""

MAX_BUILT_CHARACTERS: Final = 64 * 1_048_576
"""What all texts may hold that one evaluation builds, whether they are kept or not."""

_BUILDS: Final = frozenset({"function", "binary", "apply", "partial"})
"""The nodes whose texts are new; others give back a text that is there."""


MEMORY: Final = "Expression evaluation memory limit exceeded"


class OverBound(ValueError):
    """An expression went over a bound; the message is in AWS's words."""


class Bounds:
    """The counters of one evaluation, which the library calls at each node."""

    __slots__ = ("built", "depth", "most_steps", "steps")

    def __init__(self, most_steps: int = MAX_STEPS) -> None:
        self.most_steps = most_steps
        self.built = 0
        self.depth = 0
        self.steps = 0

    def attach(self, bindings: dict[str, Any]) -> None:
        """Put the counters where the library looks for them."""
        bindings["__evaluate_entry"] = self.enter
        bindings["__evaluate_exit"] = self.leave

    def enter(self, expression: Any, focus: Any, environment: Any) -> None:
        """Count a node that begins."""
        self.depth += 1
        self.steps += 1
        if self.depth > MAX_DEPTH:
            raise OverBound(
                "Stack overflow error: Check for non-terminating recursive function. "
                f"Consider rewriting as tail-recursive. Depth={self.depth} max={MAX_DEPTH}"
            )
        if self.steps > self.most_steps:
            raise OverBound("Expression evaluation timeout: Check for infinite loop")

    def leave(self, expression: Any, focus: Any, environment: Any, result: Any) -> None:
        """Count a node that ends, with what it built."""
        self.depth -= 1
        if type(result) is str:
            check_size(result)
            if expression.type in _BUILDS:
                self.build(len(result))
        elif isinstance(result, list) and type(result) is not list:
            check_size(result)

    def build(self, characters: int) -> None:
        """Count texts that are built."""
        self.built += characters
        if self.built > MAX_BUILT_CHARACTERS:
            raise OverBound(MEMORY)


def check_size(value: Any) -> None:
    """Refuse a text or list that is too large; a lazy range takes no memory."""
    if isinstance(value, Utils.RangeList):
        return
    size_bytes = len(value) * (1 if isinstance(value, str) else 8)
    if size_bytes > MAX_VALUE_BYTES:
        raise OverBound(MEMORY)


def check_characters(characters: int) -> None:
    """Refuse a text that is too large, by its length, before it is built."""
    if characters > MAX_VALUE_BYTES:
        raise OverBound(MEMORY)


def text_bound(value: Json, most: int = MAX_VALUE_BYTES) -> int:
    """About how long the JSON text of a value is, at most; raises OverBound above `most`.

    A value that is in many places counts in each of them: it takes no memory until it is text.
    """
    total, left = 0, [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            total += len(one)
        elif isinstance(one, dict):
            total += sum(map(len, one))
            left.extend(one.values())
        elif isinstance(one, Utils.RangeList):
            total += len(one)
        elif isinstance(one, list):
            left.extend(one)
        total += 1
        if total > most:
            raise OverBound(MEMORY)
    return total
