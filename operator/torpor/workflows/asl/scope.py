"""What an expression sees when it is evaluated: data, context, variables, and the outside world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from torpor.expressions.values import ABSENT, Entropy, Json

__all__ = ["Json", "QueryLanguage", "Scope"]


class QueryLanguage(StrEnum):
    """How a state reads its data (ASL, "QueryLanguage")."""

    JSONPATH = "JSONPath"
    JSONATA = "JSONata"


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
