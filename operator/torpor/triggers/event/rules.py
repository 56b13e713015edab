"""What CloudEvents 1.0 says of an attribute's name and value; each check answers or refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from torpor.errors import TorporError
from torpor.triggers.event.media import parse_media_type
from torpor.triggers.event.timestamp import is_timestamp
from torpor.triggers.event.uri import is_absolute_uri, is_uri_reference

Attribute = bool | int | str
"""The types of attributes here; URIs, times and binary values are strings (base64)."""

SPECVERSION: Final = "1.0"
MAX_INTEGER: Final = 2**31 - 1
MIN_INTEGER: Final = -(2**31)

_CACHED: Final = 4_096
_CACHED_CHARACTERS: Final = 256
_NAME: Final = re.compile(r"[a-z0-9]+")
_DISALLOWED: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane * 0x10000 + last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
"""Control characters, halves of a surrogate pair and Unicode's noncharacters."""


class MalformedEvent(TorporError):
    """What arrived is no CloudEvent; the message says what is wrong. HTTP answers it with 400."""

    code = "malformed-event"


def check_name(name: str) -> None:
    """Refuse a name that no attribute may have ("Naming Conventions")."""
    if _NAME.fullmatch(name) is None or name == "data":
        raise MalformedEvent(
            f"{_shown(name)} cannot be an attribute's name: use lower-case letters and digits"
            f"{', but not the word data' if name == 'data' else ''}"
        )


def check_value(name: str, value: Any) -> Attribute:
    """The value of an attribute, of its right type ("Type System" and each attribute's rules)."""
    check = _CORE.get(name)
    if check is not None:
        if type(value) is not str:
            raise MalformedEvent(f"{name} must be a string, not {_shown(value)}")
        if not value:
            raise MalformedEvent(f"{name} must not be empty")
        _check_text(name, value)
        check(value)
        return value
    if type(value) is str:
        _check_text(name, value)
        return value
    return _checked_extension(name, value)


def check_required(attributes: Mapping[str, Attribute]) -> None:
    """Refuse an event that lacks what every event has."""
    for name in ("specversion", "id", "source", "type"):
        if name not in attributes:
            raise MalformedEvent(f"the attribute {name} is missing")


def _checked_extension(name: str, value: Any) -> Attribute:
    if type(value) is bool:
        return value
    if type(value) is not int:
        raise MalformedEvent(
            f"{name} must be a string, a boolean or an integer, not {_shown(value)}"
        )
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        raise MalformedEvent(f"{name} is {value}, which does not fit in 32 bits")
    return value


def _check_text(name: str, text: str) -> None:
    if text.isascii() and text.isprintable():
        return
    bad = _DISALLOWED.search(text)
    if bad is not None:
        raise MalformedEvent(
            f"{name} contains the character U+{ord(bad.group()):04X}, which no attribute may have"
        )


def _check_specversion(version: str) -> None:
    if version != SPECVERSION:
        raise MalformedEvent(
            f"specversion {_shown(version)} is not known: send events of version {SPECVERSION}"
        )


def _check_source(source: str) -> None:
    if not _remembered(is_uri_reference, source):
        raise MalformedEvent(f"source {_shown(source)} is not a URI-reference (RFC 3986)")


def _check_schema(schema: str) -> None:
    if not _remembered(is_absolute_uri, schema):
        raise MalformedEvent(f"dataschema {_shown(schema)} is not an absolute URI (RFC 3986)")


def _check_content_type(content_type: str) -> None:
    if parse_media_type(content_type) is None:
        raise MalformedEvent(
            f"datacontenttype {_shown(content_type)} is not a media type (RFC 2046)"
        )


def _check_time(time: str) -> None:
    if not is_timestamp(time):
        raise MalformedEvent(
            f"time {_shown(time)} is not a timestamp of RFC 3339, such as 2018-04-05T17:31:00Z"
        )


def _no_more(text: str) -> None:
    """Any text will do."""


def _remembered(check: Callable[[str], bool], text: str) -> bool:
    return _cached(check, text) if len(text) <= _CACHED_CHARACTERS else check(text)


@lru_cache(_CACHED)
def _cached(check: Callable[[str], bool], text: str) -> bool:
    return check(text)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:96]}…"


_CORE: Final[Mapping[str, Callable[[str], None]]] = {
    "id": _no_more,
    "source": _check_source,
    "specversion": _check_specversion,
    "type": _no_more,
    "datacontenttype": _check_content_type,
    "dataschema": _check_schema,
    "subject": _no_more,
    "time": _check_time,
}
"""The attributes of the specification: each a string that is not empty, and what else it is."""
