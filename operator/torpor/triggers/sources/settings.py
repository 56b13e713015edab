"""Reading `spec.source.<kind>`: what cannot be understood is told as SourceMisconfigured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from typing import TypeVar

from torpor.errors import InvalidResource
from torpor.resources.fields import Fields
from torpor.resources.trigger import Trigger
from torpor.triggers.base import SourceMisconfigured

E = TypeVar("E", bound=StrEnum)


@contextlib.contextmanager
def settings_of(trigger: Trigger) -> Iterator[Fields]:
    """The fields of a Trigger's source; what the block finds wrong becomes SourceMisconfigured."""
    source = trigger.source
    try:
        yield Fields(source.settings, f"spec.source.{source.kind}")
    except InvalidResource as error:
        raise SourceMisconfigured(str(error)) from error


def choices(found: Fields, name: str, kind: type[E], default: frozenset[E]) -> frozenset[E]:
    """Return the members of `kind` that the list in the field names; InvalidResource if none is."""
    if not found.has(name):
        return default
    values = found.texts(name)
    known = {member.value: member for member in kind}
    unknown = [value for value in values if value not in known]
    if unknown or not values:
        raise InvalidResource(f"spec.source.{name}", f"give some of {', '.join(known)}")
    return frozenset(known[value] for value in values)
