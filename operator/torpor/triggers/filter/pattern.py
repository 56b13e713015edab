"""EventBridge event patterns: which events a Trigger wants.

    {"source": ["shop"], "detail": {"total": [{"numeric": [">", 100]}], "no": [{"exists": false}]}}

A pattern has the shape of the event; its leaves are lists of what is accepted. All fields must be
met, each by any entry of its list; `$or` says otherwise. The language and its semantics are those
of EventBridge (Amazon EventBridge User Guide, "Event patterns" and "Comparison operators") as its
open-source matcher aws/event-ruler defines them in detail; see `pattern_values` for values,
`pattern_fields` for names, `pattern_places` for arrays, `pattern_compile` for what is refused.

It differs in one thing: a number of an event with more than six decimals, or beyond 5e11, is
compared as it is, where event-ruler takes it for no number. A pattern's own numbers in `numeric`
and `anything-but` keep event-ruler's limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torpor.triggers.filter.pattern_compile import conjunctions_of
from torpor.triggers.filter.pattern_condition import Conjunction
from torpor.triggers.filter.pattern_fields import Json, Steps, placed, plain, steps_to
from torpor.triggers.filter.pattern_text import DEFAULT_LIMITS, Limits, members_of_text


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """A compiled pattern; matching never raises, and costs about what the event and it hold."""

    conjunctions: tuple[Conjunction, ...]
    steps: Steps

    def matches(self, event: Mapping[str, Json]) -> bool:
        """Whether an event, as `json.loads` reads it, is wanted."""
        values: dict[str, Json] = {}
        if plain(event, self.steps, values):
            return any(conjunction.met(values) for conjunction in self.conjunctions)
        in_places = placed(event, self.steps)
        return any(conjunction.met_in_places(in_places) for conjunction in self.conjunctions)


def compile_pattern(pattern: Mapping[str, Json], limits: Limits = DEFAULT_LIMITS) -> Pattern:
    """Compile a pattern; PatternError names every mistake."""
    return _compiled(tuple(pattern.items()), limits)


def parse_pattern(text: str, limits: Limits = DEFAULT_LIMITS) -> Pattern:
    """Compile a pattern from JSON text; PatternError where it is too long, no JSON, or not valid.

    Of a name that is given twice the last list counts, as in EventBridge; a list and an object
    under one name are two conditions.
    """
    return _compiled(members_of_text(text, limits), limits)


def _compiled(members: tuple[tuple[str, Json], ...], limits: Limits) -> Pattern:
    conjunctions = conjunctions_of(members, limits)
    fields = {c.field for conjunction in conjunctions for c in conjunction.conditions}
    return Pattern(conjunctions, steps_to(fields))
