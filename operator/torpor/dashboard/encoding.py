"""The bytes of what is shown, also where somebody told what is no JSON for its readers.

What programs of users tell is looked at where they tell it, but alone: in a snapshot it is some
levels deeper. And a Job's annotation, which the runs of a cluster are read from, is of whoever may
write it. Half of a surrogate pair or a number of a hundred digits must not keep the rest away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

_LEVELS: Final = 100
_INTEGERS: Final = range(-(1 << 63), 1 << 64)
_DEEPER: Final = "…"


def encoded(value: Any) -> bytes:
    """Return a value of JSON's types as JSON; TypeError for any other type."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(_plain(value, _LEVELS))


def _plain(value: Any, levels: int) -> Any:
    """The value in what orjson takes: whole characters, 64 bits, and not too deep."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, int):
        return value if value in _INTEGERS else str(value)
    if not isinstance(value, Mapping | list | tuple):
        return value
    if not levels:
        return _DEEPER
    if isinstance(value, Mapping):
        return {_plain(name, 0): _plain(item, levels - 1) for name, item in value.items()}
    return [_plain(item, levels - 1) for item in value]
