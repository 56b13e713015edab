"""The event as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from torpor.triggers.event.media import parse_media_type
from torpor.triggers.event.rules import (
    SPECVERSION,
    Attribute,
    MalformedEvent,
    check_name,
    check_required,
    check_value,
)

Json = Any
"""A JSON value."""

CORE: Final = frozenset(
    {"id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject", "time"}
)
"""The names that the specification gives a meaning; all others are extensions."""


class NoData:
    """The type of `NO_DATA`: an event without data, as opposed to one whose data is null."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_DATA"


NO_DATA: Final = NoData()


@dataclass(frozen=True, slots=True)
class Event:
    """A valid CloudEvent 1.0. `make_event` and the readers of this package make one.

    `attributes` holds all that are set, by name, extensions among them; nobody changes it. `data`
    is bytes, or a JSON value where `holds_json`, or a text of another content type, or `NO_DATA`.
    `encoded` is the data in the bytes that arrived, where it came so, to be passed on unchanged.
    """

    attributes: Mapping[str, Attribute]
    data: Json | bytes | NoData = NO_DATA
    encoded: bytes | None = field(default=None, repr=False, compare=False)

    @property
    def id(self) -> str:
        """Unique among the events of `source`."""
        return str(self.attributes["id"])

    @property
    def source(self) -> str:
        """Where it happened: a URI-reference."""
        return str(self.attributes["source"])

    @property
    def type(self) -> str:
        """What happened."""
        return str(self.attributes["type"])

    @property
    def subject(self) -> str | None:
        """To what it happened, within `source`."""
        return self._text("subject")

    @property
    def time(self) -> str | None:
        """When it happened: RFC 3339."""
        return self._text("time")

    @property
    def datacontenttype(self) -> str | None:
        """The media type of `data`."""
        return self._text("datacontenttype")

    @property
    def dataschema(self) -> str | None:
        """The schema of `data`: an absolute URI."""
        return self._text("dataschema")

    @property
    def traceparent(self) -> str | None:
        """The trace that the event began in (the extension "Distributed Tracing")."""
        return self._text("traceparent")

    @property
    def extensions(self) -> dict[str, Attribute]:
        """The attributes that the specification does not name."""
        return {name: value for name, value in self.attributes.items() if name not in CORE}

    @property
    def holds_json(self) -> bool:
        """Whether the content type says that data is JSON, or says nothing."""
        return is_json(self.datacontenttype)

    def with_attributes(self, changes: Mapping[str, Attribute | None]) -> Event:
        """The event with attributes set, or unset by None; raises MalformedEvent."""
        checked = checked_attributes({**self.attributes, **changes})
        return replace(self, attributes=checked)

    def with_data(self, data: Json | bytes | NoData, datacontenttype: str | None = None) -> Event:
        """The event with other data and its content type; raises MalformedEvent."""
        changes = {**self.attributes, "datacontenttype": datacontenttype}
        return _with_data(checked_attributes(changes), data)

    def _text(self, name: str) -> str | None:
        value = self.attributes.get(name)
        return None if value is None else str(value)


def make_event(
    *,
    id: str,
    source: str,
    type: str,
    subject: str | None = None,
    time: str | None = None,
    datacontenttype: str | None = None,
    dataschema: str | None = None,
    data: Json | bytes | NoData = NO_DATA,
    extensions: Mapping[str, Attribute | None] = MappingProxyType({}),
) -> Event:
    """A new event; raises MalformedEvent. Without a content type, data other than bytes is JSON."""
    attributes = {
        "specversion": SPECVERSION,
        "id": id,
        "source": source,
        "type": type,
        "subject": subject,
        "time": time,
        "datacontenttype": datacontenttype,
        "dataschema": dataschema,
    }
    both = CORE & extensions.keys()
    if both:
        raise MalformedEvent(f"{min(both)} is no extension")
    return _with_data(checked_attributes({**attributes, **extensions}), data)


def checked_attributes(given: Mapping[str, Any]) -> Mapping[str, Attribute]:
    """The attributes that are set, None being unset; raises MalformedEvent."""
    attributes: dict[str, Attribute] = {}
    for name, value in given.items():
        check_name(name)
        if value is not None:
            attributes[name] = check_value(name, value)
    check_required(attributes)
    return attributes


def is_json(content_type: str | None) -> bool:
    """Whether data of this content type is JSON; data without one is (JSON format, 3.1.1)."""
    if content_type is None:
        return True
    media_type = parse_media_type(content_type)
    return media_type is not None and media_type.is_json


def _with_data(attributes: Mapping[str, Attribute], data: Json | bytes | NoData) -> Event:
    event = Event(attributes, data)
    if not isinstance(data, bytes | str | NoData) and not event.holds_json:
        raise MalformedEvent(f"data of type {event.datacontenttype} must be a text or bytes")
    return event
