"""Turns a pattern into conjunctions of conditions on fields, or says everything that is wrong.

As in event-ruler (`JsonRuleCompiler`): a pattern's objects lead to fields, their names joined with
dots; each branch of `$or` is combined with all that stands before it; of two lists for one field
the last counts. `$or` that is not a list of two objects or more, or whose branches use the name of
an operator as a field, is a field of that name, so a pattern that is not valid with `$or` as an
alternative is tried with `$or` as a field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torpor.triggers.filter.pattern_condition import Condition, Conjunction, Constant
from torpor.triggers.filter.pattern_error import PatternError, Problem, Refused
from torpor.triggers.filter.pattern_numeric import read_number
from torpor.triggers.filter.pattern_operators import (
    OPERATORS,
    Absent,
    Entry,
    address_test,
    members_of,
    read_operator,
)
from torpor.triggers.filter.pattern_text import Limits, Member
from torpor.triggers.filter.pattern_values import Number, Test, is_number

OR = "$or"
_RESERVED_NOW = frozenset({"html", "regex", "=", "<", "<=", ">", ">="} | OPERATORS)
_PLANNED = frozenset(
    {
        "not-wildcard",
        "not-equals-ignore-case",
        "date-after",
        "date-on-or-after",
        "date-before",
        "date-on-or-before",
        "in-date-range",
        "ip-address-in-range",
        "ip-address-not-in-range",
    }
)
_RESERVED = _RESERVED_NOW | _PLANNED
"""Names that event-ruler keeps for operators: no fields in branches of `$or`."""

_Field = str | None
"""The field that an object is; None for the whole event, as a name may be empty."""
_Row = dict[str, Condition]
"""One combination of branches: the condition on each field."""


def conjunctions_of(members: Sequence[Member], limits: Limits) -> tuple[Conjunction, ...]:
    """The combinations of conditions any of which an event must meet; PatternError if not valid."""
    reading = _Alternatives(limits)
    rows = reading.object([{}], members, None, "$")
    if reading.problems and reading.has_or:
        as_field = _Reading(limits)
        rows = as_field.object([{}], members, None, "$")
        if not as_field.problems:
            reading.problems.clear()
    if reading.problems:
        raise PatternError(reading.problems)
    return tuple(_conjunction(row) for row in rows)


def _conjunction(row: _Row) -> Conjunction:
    return Conjunction(tuple(row[field] for field in sorted(row)))


class _Reading:
    """One pass over a pattern that keeps what is wrong, with `$or` as a field like any other."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.problems: list[Problem] = []
        self._depth = 0

    def wrong(self, path: str, reason: str) -> None:
        """Keep a mistake and go on."""
        self.problems.append(Problem(path, reason))

    def object(
        self, rows: list[_Row], members: Sequence[Member], field: _Field, path: str
    ) -> list[_Row]:
        """Every combination so far, with the conditions of an object added."""
        if self._depth == self.limits.depth:
            self.wrong(path, f"Objects deeper than {self.limits.depth} are not allowed")
            return rows
        if not members:
            self.wrong(path, "Empty objects are not allowed")
        self._depth += 1
        for name, value in members:
            rows = self.member(rows, name, value, field, path)
        self._depth -= 1
        return rows

    def member(
        self, rows: list[_Row], name: Any, value: Any, field: _Field, path: str
    ) -> list[_Row]:
        """Every combination so far, with the conditions under one name added."""
        if not isinstance(name, str):
            self.wrong(path, "Names of fields must be strings")
            return rows
        here, inside = f"{path}.{name}", name if field is None else f"{field}.{name}"
        if inside.count(".") >= self.limits.depth:
            self.wrong(here, f"Fields deeper than {self.limits.depth} names are not allowed")
            return rows
        members = members_of(value)
        if members is not None:
            return self.object(rows, members, inside, here)
        if not isinstance(value, list):
            self.wrong(here, f'"{name}" must be an object or an array')
            return rows
        condition = self.condition(inside, value, here)
        for row in rows:
            row[inside] = condition
        return rows

    def condition(self, field: str, entries: list[Any], path: str) -> Condition:
        """The condition that a list is."""
        if not entries:
            self.wrong(path, "Empty arrays are not allowed")
        found = _Entries()
        for index, entry in enumerate(entries):
            try:
                found.add(entry)
            except Refused as refused:
                self.wrong(f"{path}[{index}]", str(refused))
        return found.condition(field)


class _Alternatives(_Reading):
    """One pass over a pattern with `$or` as an alternative."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.has_or = False
        self._branches = 0

    def member(
        self, rows: list[_Row], name: Any, value: Any, field: _Field, path: str
    ) -> list[_Row]:
        """As above, and the names of operators are refused in branches."""
        if name == OR:
            return self._or(rows, value, field, f"{path}.{OR}")
        if self._branches and name in _RESERVED:
            reason = f"{name} is Ruler reserved fieldName which cannot be used inside {OR}."
            self.wrong(f"{path}.{name}", reason)
        return super().member(rows, name, value, field, path)

    def _or(self, rows: list[_Row], branches: Any, field: _Field, path: str) -> list[_Row]:
        self.has_or = True
        if not isinstance(branches, list):
            self.wrong(path, f"It must be an Array followed with {OR}.")
            return rows
        if len(branches) < 2:
            self.wrong(path, f"There must have at least 2 Objects in {OR} relationship.")
        self._branches += 1
        combined: list[_Row] = []
        for index, branch in enumerate(branches):
            copies = [dict(row) for row in rows]
            combined += self._branch(copies, branch, field, f"{path}[{index}]")
            if len(combined) > self.limits.combinations:
                most = self.limits.combinations
                self.wrong(path, f"Event pattern contains more than {most} rule combinations")
                break
        self._branches -= 1
        return combined if len(combined) <= self.limits.combinations else rows

    def _branch(self, rows: list[_Row], branch: Any, field: _Field, path: str) -> list[_Row]:
        members = members_of(branch)
        if members is None:
            self.wrong(path, f"Only JSON object is allowed in array of {OR} relationship.")
            return rows
        return self.object(rows, members, field, path)


class _Entries:
    """The entries of one list, sorted by what they are."""

    def __init__(self) -> None:
        self.exact: set[str | Number] = set()
        self.constants: list[Constant] = []
        self.tests: list[Test] = []
        self.absent = False

    def add(self, entry: Any) -> None:
        """Add an entry; Refused where it is none."""
        members = members_of(entry)
        if members is not None:
            self._add_operator(read_operator(members))
        elif isinstance(entry, str):
            self._add_text(entry)
        elif entry is None or isinstance(entry, bool):
            self.constants.append(entry)
        elif is_number(entry):
            self.exact.add(read_number(entry))
        else:
            raise Refused("Match value must be String, number, true, false, or null")

    def _add_text(self, text: str) -> None:
        self.exact.add(text)
        self.tests += address_test(text)

    def _add_operator(self, found: str | Entry) -> None:
        if isinstance(found, str):
            self._add_text(found)
        elif isinstance(found, Absent):
            self.absent = True
        else:
            self.tests.append(found)

    def condition(self, field: str) -> Condition:
        """The condition on a field that any entry meets."""
        exact, tests = frozenset(self.exact), tuple(self.tests)
        return Condition(field, exact, tuple(self.constants), tests, self.absent)
