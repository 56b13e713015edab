"""What fields an object may and must have, as a table, and the one check that reads such tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torpor.workflows.asl.scope import Json, QueryLanguage
from torpor.workflows.asl.validate.document import repeated_names
from torpor.workflows.asl.validate.findings import Check, Code, Spot


@dataclass(frozen=True, slots=True)
class Field:
    """One field that an object may have; `language` is the only one it exists in, None both."""

    check: Check
    language: QueryLanguage | None = None


def in_path(check: Check) -> Field:
    """A field that exists in JSONPath only."""
    return Field(check, QueryLanguage.JSONPATH)


def in_jsonata(check: Check) -> Field:
    """A field that exists in JSONata only."""
    return Field(check, QueryLanguage.JSONATA)


def both(check: Check) -> Field:
    """A field that exists in both query languages."""
    return Field(check)


@dataclass(frozen=True, slots=True)
class Shape:
    """An object of the language.

    `required` fields must be there, `exclusive` groups allow one of their fields at most, and
    `one_of` groups need exactly one.
    """

    fields: Mapping[str, Field]
    required: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    one_of: tuple[tuple[str, ...], ...] = ()

    def __call__(self, value: Json, spot: Spot) -> None:
        """Check an object against this shape, and each of its fields against the field's check."""
        if not is_object(value, spot):
            return
        self._check_presence(value, spot)
        for name, inner in value.items():
            known = self.fields.get(name)
            if known is None:
                spot.error(f"Field '{name}' is not supported")
            elif known.language not in (None, spot.language):
                _report_language(name, known.language, spot)
            else:
                known.check(inner, spot.field(name))

    def _check_presence(self, value: Mapping[str, Json], spot: Spot) -> None:
        missing = [name for name in self.required if name not in value]
        missing += [group[0] for group in self.one_of if not any(name in value for name in group)]
        if missing:
            spot.error(f"These fields are required: [{', '.join(missing)}]")
        for group in (*self.exclusive, *self.one_of):
            present = [name for name in group if name in value]
            if len(present) > 1:
                names = ", ".join(present)
                spot.error(f"There should only be one of the following fields: [{names}]")


def _report_language(name: str, language: QueryLanguage | None, spot: Spot) -> None:
    spot.error(
        f"The QueryLanguage is set to '{spot.language}', but field '{name}' is only supported for"
        f" the '{language}' QueryLanguage"
    )


def is_object(value: Json, spot: Spot) -> bool:
    """Whether a value is an object; if not, or if it repeats a name, that is reported."""
    if not isinstance(value, dict):
        spot.error("Expected value of type Object")
        return False
    for name in repeated_names(value):
        spot.error(f"Duplicate field '{name}'", Code.INVALID_JSON)
    return True


def array_of(check: Check) -> Check:
    """An array whose every element passes `check`."""

    def checked(value: Json, spot: Spot) -> None:
        if not isinstance(value, list):
            spot.error("Expected value of type Array")
            return
        for index, item in enumerate(value):
            check(item, spot.item(index))

    return checked


def filled(check: Check) -> Check:
    """An array that passes `check` and has an element at least."""

    def checked(value: Json, spot: Spot) -> None:
        check(value, spot)
        if value == []:
            spot.error("Value is an empty array, non-empty required")

    return checked


def by_language(path: Check, jsonata: Check) -> Check:
    """A field whose value is read differently in the two query languages."""

    def checked(value: Json, spot: Spot) -> None:
        chosen = path if spot.language is QueryLanguage.JSONPATH else jsonata
        chosen(value, spot)

    return checked
