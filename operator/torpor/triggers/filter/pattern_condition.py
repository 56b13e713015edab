"""What a pattern asks of one field, and of all its fields together.

A pattern without `$or` is one `Conjunction`; `$or` makes one of each combination of its branches,
as in event-ruler. A condition on a field is met where one value of the field passes one of the
tests, or, with `{"exists": false}`, where the field has no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from torpor.triggers.filter.pattern_fields import Json, Place
from torpor.triggers.filter.pattern_places import START, agreeing, mentioned
from torpor.triggers.filter.pattern_values import Number, Test

Constant = bool | None
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Condition:
    """What is asked of one field: any of the exact values, of the tests, or absence."""

    field: str
    exact: frozenset[str | Number]
    constants: tuple[Constant, ...]
    tests: tuple[Test, ...]
    absent: bool

    def accepts(self, value: Any) -> bool:
        """Whether one value of the field is what is asked for."""
        if value is None or value is True or value is False:
            # Python counts true as 1, so constants are told apart by identity.
            if any(value is constant for constant in self.constants):
                return True
        elif value in self.exact:
            return True
        return any(test(value) for test in self.tests) if self.tests else False

    def met(self, values: Mapping[str, Json]) -> bool:
        """Whether the field's value, or one of its list of values, is what is asked for."""
        value = values.get(self.field, _MISSING)
        if value is _MISSING:
            return self.absent
        if isinstance(value, list):
            return any(map(self.accepts, value))
        return self.accepts(value)


@dataclass(frozen=True, slots=True)
class Conjunction:
    """Conditions that must all be met, in the order of their fields' names.

    The order matters to absence only: event-ruler looks for an absent field in those elements of
    arrays that the conditions before it have settled on.
    """

    conditions: tuple[Condition, ...]

    def met(self, values: Mapping[str, Json]) -> bool:
        """Whether an event without objects in arrays meets all."""
        for condition in self.conditions:  # noqa: SIM110, a generator is twice as slow here
            if not condition.met(values):
                return False
        return True

    def met_in_places(self, values: Mapping[str, list[tuple[Json, Place]]]) -> bool:
        """Whether values that are in the same element of each array meet all."""
        standings = {START}
        fields = [condition.field for condition in self.conditions]
        for done, condition in enumerate(self.conditions, start=1):
            found = values.get(condition.field, [])
            passing = {place for value, place in found if condition.accepts(value)}
            following = {old | new for old, new in agreeing(standings, passing)}
            if condition.absent:
                everywhere = {place for _, place in found}
                following |= standings - {old for old, _ in agreeing(standings, everywhere)}
            standings = mentioned(following, fields[done:])
            if not standings:
                return False
        return True
