"""Media types (RFC 2046, with the grammar of RFC 2045, section 5.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_TOKEN: Final = r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+"  # noqa: S105 - a token of a grammar
_PARAMETER: Final = rf'[ \t]*;[ \t]*({_TOKEN})=({_TOKEN}|"(?:[ !#-\[\]-~]|\\[ -~])*")'
_MEDIA_TYPE: Final = re.compile(rf"({_TOKEN})/({_TOKEN})((?:{_PARAMETER})*)[ \t]*")
_PARAMETERS: Final = re.compile(_PARAMETER)
_CACHED: Final = 1_024
_CACHED_CHARACTERS: Final = 256


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type: `name` without parameters, in lower case."""

    name: str
    charset: str | None

    @property
    def is_json(self) -> bool:
        """Whether it says that content is JSON: `*/json` or `*/*+json` (JSON format, 3.1.1)."""
        return self.name.endswith(("/json", "+json"))


def parse_media_type(text: str) -> MediaType | None:
    """The media type that a text is, None when it is none."""
    return _remembered(text) if len(text) <= _CACHED_CHARACTERS else _parse(text)


def _parse(text: str) -> MediaType | None:
    found = _MEDIA_TYPE.fullmatch(text)
    if found is None:
        return None
    parameters = {one[1].lower(): one[2] for one in _PARAMETERS.finditer(found[3])}
    charset = parameters.get("charset")
    name = f"{found[1]}/{found[2]}".lower()
    return MediaType(name, None if charset is None else charset.strip('"').lower())


_remembered: Final = lru_cache(_CACHED)(_parse)
