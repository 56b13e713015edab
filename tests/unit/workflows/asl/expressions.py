"""A scope for tests of expressions: fixed time, fixed randomness."""

from __future__ import annotations

from dataclasses import dataclass

from torpor.expressions.values import ABSENT
from torpor.workflows.asl.scope import Json, Scope


@dataclass(frozen=True)
class FixedEntropy:
    """Always the same moment and the same draw."""

    seconds: float = 1_700_000_000.0
    draw: float = 0.5

    def now(self) -> float:
        return self.seconds

    def uuid(self) -> str:
        return "6f1f36a4-5a0b-4b3c-9d65-0f2c7e9f6a11"

    def random(self) -> float:
        return self.draw


def a_scope(
    data: Json = None,
    *,
    context: dict[str, Json] | None = None,
    variables: dict[str, Json] | None = None,
    result: Json = ABSENT,
    error_output: Json = ABSENT,
) -> Scope:
    """A scope with the given parts and nothing else."""
    return Scope(data, context or {}, variables or {}, FixedEntropy(), result, error_output)
