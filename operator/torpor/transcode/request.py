"""What a run is asked for: a Job's input, and what `torpor transcode run` makes of its options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torpor.checkpoint import BadInput
from torpor.transcode.encoders import Speed
from torpor.transcode.model import Mode

MOST_UNIT_SECONDS = 600
MOST_THREADS = 64
_VARIANT = re.compile(r"[a-z0-9]+(-[0-9]+(p|x[0-9]+))?")


class Devices(Enum):
    """What may encode."""

    AUTO = "auto"
    """The node's GPU where it can encode, else the CPU."""
    CPU = "cpu"


class Packaging(Enum):
    """What the rungs are made ready for, besides being files."""

    HLS = "hls"
    DASH = "dash"


@dataclass(frozen=True, slots=True)
class Request:
    """A source and what to make of it.

    `to` is a folder or a store's URL for the results; empty: the run's own store. `variants` are
    names such as `h264-720p`, codecs such as `hevc` or sizes such as `480p`; none: the whole
    ladder. `unit_seconds` and `threads` of 0 leave the choice to the planner.
    """

    source: str
    to: str = ""
    variants: tuple[str, ...] = ()
    mode: Mode = Mode.UNIT
    unit_seconds: float = 0.0
    threads: int = 0
    speed: Speed = Speed.FAST
    devices: Devices = Devices.AUTO
    package: tuple[Packaging, ...] = ()

    @classmethod
    def parse(cls, document: Any) -> Request:
        """Return the request in a run's input; BadInput names the field that is wrong."""
        if not isinstance(document, dict) or not document.get("source"):
            raise BadInput(
                'the input must be an object with a source, such as {"source": "s3://…"}'
            )
        unknown = sorted(set(document) - set(_FIELDS))
        if unknown:
            raise BadInput(f"the input has no field {unknown[0]!r}: there are {', '.join(_FIELDS)}")
        return cls(**{_FIELDS[name][0]: _read(name, value) for name, value in document.items()})


def _read(name: str, value: Any) -> Any:
    try:
        return _FIELDS[name][1](value)
    except (ValueError, TypeError) as error:
        raise BadInput(f"the input's {name} is {value!r}: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("it must be text")
    value.encode()
    return value


def _variants(value: Any) -> tuple[str, ...]:
    names = tuple(_text(each) for each in _list(value))
    wrong = [name for name in names if not _VARIANT.fullmatch(name)]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is none; name one such as h264-720p, hevc or 480p")
    return names


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > 100:
        raise ValueError("it must be a list")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not 0 <= float(value) <= MOST_UNIT_SECONDS:
        raise ValueError(f"it must be 0 to {MOST_UNIT_SECONDS} s")
    return float(value)


def _threads(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST_THREADS:
        raise ValueError(f"it must be 0 to {MOST_THREADS}")
    return value


_FIELDS: Mapping[str, tuple[str, Any]] = {
    "source": ("source", _text),
    "to": ("to", _text),
    "variants": ("variants", _variants),
    "mode": ("mode", Mode),
    "unitSeconds": ("unit_seconds", _seconds),
    "threads": ("threads", _threads),
    "speed": ("speed", Speed),
    "devices": ("devices", Devices),
    "package": ("package", lambda value: tuple(dict.fromkeys(map(Packaging, _list(value))))),
}
