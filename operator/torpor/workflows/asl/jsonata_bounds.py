"""What a JSONata expression may use: nesting, steps and memory, so that none can hang an engine.

The bound on time is a number of steps, not a clock: an expression that is refused once is refused
always. A step may be a regular expression over a long text: `regex` bounds that work.
"""

from __future__ import annotations

from typing import Any, Final

from jsonata.utils import Utils

MAX_DEPTH: Final = 100
"""How deep evaluation may nest: AWS's limit."""

MAX_STEPS: Final = 500_000
"""How many nodes of an expression may be evaluated: a few seconds of work."""

MAX_VALUE_BYTES: Final = 6_990_256
"""What one built value may hold, a character counting 1 and an array element 8: AWS's limit."""


class OverBound(ValueError):
    """An expression went over a bound; the message is in AWS's words."""


class Bounds:
    """The counters of one evaluation, which the library calls at each node."""

    __slots__ = ("depth", "steps")

    def __init__(self) -> None:
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
        if self.steps > MAX_STEPS:
            raise OverBound("Expression evaluation timeout: Check for infinite loop")

    def leave(self, expression: Any, focus: Any, environment: Any, result: Any) -> None:
        """Count a node that ends, with what it built."""
        self.depth -= 1
        if type(result) is str or (isinstance(result, list) and type(result) is not list):
            check_size(result)


def check_size(value: Any) -> None:
    """Refuse a text or list that is too large; a lazy range takes no memory."""
    if isinstance(value, Utils.RangeList):
        return
    size_bytes = len(value) * (1 if isinstance(value, str) else 8)
    if size_bytes > MAX_VALUE_BYTES:
        raise OverBound("Expression evaluation memory limit exceeded")
