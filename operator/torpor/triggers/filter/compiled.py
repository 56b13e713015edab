"""A Trigger's filter, whichever language it is in, compiled once. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from torpor.resources.trigger import Filter
from torpor.triggers.event import Event
from torpor.triggers.filter.cesql import Cesql, compile_cesql
from torpor.triggers.filter.pattern import Pattern, compile_pattern
from torpor.triggers.filter.view import seen


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """At most one of the two is set; with none all events pass."""

    pattern: Pattern | None = None
    cesql: Cesql | None = None

    def matches(self, event: Event) -> bool:
        """Whether the event passes: its data is looked at by patterns, not by CESQL."""
        if self.pattern is not None:
            return self.pattern.matches(seen(event))
        return self.cesql is None or self.cesql.matches(event.attributes)


def compile_filter(given: Filter) -> CompiledFilter:
    """Return the filter compiled; PatternError or CesqlError say what is wrong with it."""
    return CompiledFilter(
        None if given.pattern is None else compile_pattern(given.pattern),
        None if given.cesql is None else compile_cesql(given.cesql),
    )
