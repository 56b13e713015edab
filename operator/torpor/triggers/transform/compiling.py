"""A Trigger's transform, compiled once and applied to each event."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from torpor.errors import InvalidResource
from torpor.expressions.jsonata import JsonataFailed, evaluate, syntax_tree
from torpor.expressions.values import ABSENT, Entropy, Json
from torpor.resources import trigger
from torpor.triggers.transform.result import MAX_RESULT_BYTES, TransformFailed, Unfit, measure
from torpor.triggers.transform.template import Fill, compile_template

MAX_CHARACTERS: Final = 32_768
"""How long a JSONata expression may be."""

MAX_STEPS: Final = 50_000
"""How many steps an expression may take: some tenths of a second, as other events wait for it."""

_JSONATA: Final = "spec.transform.jsonata"
_INPUT: Final = "spec.transform.input"


class SystemEntropy:
    """The time and randomness of this machine."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def uuid(self) -> str:
        """A random UUID."""
        return str(uuid.uuid4())

    def random(self) -> float:
        """A random number, at least 0 and below 1."""
        return random.random()  # noqa: S311 - no secret is made of it


_SYSTEM: Final = SystemEntropy()


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """What makes a target's input of an event."""

    _path: str
    _fill: Fill

    def apply(self, event: Mapping[str, Json]) -> Json:
        """The target's input, of an event as the JSON object of its structured form.

        Raises TransformFailed with the place of the expression that failed, or of a result that is
        too large.
        """
        result = self._fill(event)
        try:
            measure(result, MAX_RESULT_BYTES)
        except Unfit as unfit:
            raise TransformFailed(self._path, str(unfit)) from unfit
        return result


def compile_transform(spec: trigger.Transform, entropy: Entropy = _SYSTEM) -> Transform:
    """The compiled transform; InvalidResource says where it is wrong. Without one, events stay.

    `entropy` is what `$now()`, `$uuid()` and the like ask.
    """
    if spec.jsonata is not None:
        return Transform(_JSONATA, _jsonata(spec.jsonata, entropy))
    if spec.input is not None:
        return Transform(_INPUT, compile_template(spec.input, _INPUT))
    return Transform("spec.transform", lambda event: event)


def _jsonata(text: str, entropy: Entropy) -> Fill:
    if len(text) > MAX_CHARACTERS:
        raise InvalidResource(_JSONATA, f"it is longer than {MAX_CHARACTERS} characters")
    try:
        syntax_tree(text)
    except ValueError as invalid:
        raise InvalidResource(_JSONATA, str(invalid)) from invalid

    def fill(event: Mapping[str, Json]) -> Json:
        try:
            value = evaluate(text, event, {"event": event}, entropy, MAX_STEPS)
        except JsonataFailed as failed:
            raise TransformFailed(_JSONATA, str(failed)) from failed
        if value is ABSENT:
            raise TransformFailed(_JSONATA, "the expression has no value for this event")
        return value

    return fill
