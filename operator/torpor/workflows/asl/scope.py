"""What an expression sees when it is evaluated: data, context, variables, and the outside world.

Expressions are pure: the time and randomness they may ask for (`States.UUID`, `$now()`) come in
through `Entropy`, so the same inputs always give the same outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict. Expressions change none in place."""


class QueryLanguage(StrEnum):
    """How a state reads its data (ASL, "QueryLanguage")."""

    JSONPATH = "JSONPath"
    JSONATA = "JSONata"


class Absent:
    """The type of `ABSENT`: no value at all, as opposed to JSON null."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


class Entropy(Protocol):
    """The time and randomness of one step of an execution."""

    def now(self) -> float:
        """The time of this step, in seconds since the epoch."""

    def uuid(self) -> str:
        """A random version 4 UUID in its canonical text form."""

    def random(self) -> float:
        """A random number, at least 0 and below 1."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may refer to.

    `context` is the context object (`$$`, `$states.context`), `variables` the workflow variables
    visible here; `result` and `error_output` are `ABSENT` where the language gives none.
    """

    input: Json
    context: Mapping[str, Json]
    variables: Mapping[str, Json]
    entropy: Entropy
    result: Json = ABSENT
    error_output: Json = ABSENT
