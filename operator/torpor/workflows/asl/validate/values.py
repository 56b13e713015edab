"""Checks of single values: types, ranges, enumerations, timestamps, resources."""

from __future__ import annotations

import re
from datetime import datetime

from torpor.workflows.asl.scope import Json
from torpor.workflows.asl.validate.findings import Check, MachineType, Spot

MAX_SECONDS = 99_999_999
"""The longest time-out, wait or retry interval, in seconds (ASL, "Task State")."""

_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_PLACEHOLDER = re.compile(r"\$\{[^}]+\}")


def anything(_value: Json, _spot: Spot) -> None:
    """Accept every JSON value."""


def is_text(value: Json, spot: Spot) -> bool:
    """Whether a value is a string; if not, that is reported."""
    if isinstance(value, str):
        return True
    spot.error("Expected value of type String")
    return False


def text(value: Json, spot: Spot) -> None:
    """A string."""
    is_text(value, spot)


def boolean(value: Json, spot: Spot) -> None:
    """True or false."""
    if not isinstance(value, bool):
        spot.error("Expected value of type Boolean")


def mapping(value: Json, spot: Spot) -> None:
    """An object, whatever is in it."""
    if not isinstance(value, dict):
        spot.error("Expected value of type Object")


def one_of(*allowed: str) -> Check:
    """One of some strings."""

    def checked(value: Json, spot: Spot) -> None:
        if value not in allowed:
            spot.error(f"Value is not one of: [{', '.join(allowed)}]")

    return checked


def integer(least: int, most: int) -> Check:
    """A whole number between two bounds, both allowed."""

    def checked(value: Json, spot: Spot) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            spot.error("Expected value of type Integer")
        else:
            _check_range(value, least, most, spot)

    return checked


def number(least: float | None = None, most: float | None = None) -> Check:
    """A number, between two bounds where they are given, both allowed."""

    def checked(value: Json, spot: Spot) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            spot.error("Expected value of type Number")
        else:
            _check_range(value, least, most, spot)

    return checked


def _check_range(value: float, least: float | None, most: float | None, spot: Spot) -> None:
    if least is not None and value < least:
        spot.error(f"Minimum value is {least}")
    if most is not None and value > most:
        spot.error(f"Maximum value is {most}")


def timestamp(value: Json, spot: Spot) -> None:
    """An RFC 3339 time with an uppercase T, and an uppercase Z or an offset (ASL, "Timestamps")."""
    if is_text(value, spot) and not is_timestamp(value):
        spot.error("String does not match RFC3339 timestamp")


def is_timestamp(value: str) -> bool:
    """Whether a string is a time as the language writes it."""
    found = _TIMESTAMP.fullmatch(value)
    if found is None:
        return False
    try:
        datetime.fromisoformat(found[1])
    except ValueError:
        return False
    return True


def resource(value: Json, spot: Spot) -> None:
    """A Task's Resource: a URI that the engine at hand can run.

    A placeholder of a deployment tool (`${Name}`) may stand for any part of it.
    """
    if not is_text(value, spot):
        return
    if _PLACEHOLDER.search(value):
        return
    if not _URI.fullmatch(value):
        spot.error("Value is not a valid resource ARN")
    elif refusal := spot.rules.refuse_resource(value):
        spot.error(refusal)
    elif spot.rules.machine_type is MachineType.EXPRESS:
        _check_express(value, spot)


def _check_express(value: str, spot: Spot) -> None:
    for pattern in (".sync:2", ".sync", ".waitForTaskToken"):
        if value.endswith(pattern):
            spot.error(f"Express state machine does not support '{pattern}' service integration")
            return
    if ":activity:" in value:
        spot.error("Express state machine does not support Activity ARN")
