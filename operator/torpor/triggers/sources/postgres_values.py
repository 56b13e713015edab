"""Texts of PostgreSQL's values as JSON. Pure.

| type | becomes |
| --- | --- |
| smallint, integer, bigint, oid | a number |
| real, double precision | a number; NaN and the infinities a string |
| numeric | a number if it has at most 15 digits, so that none is lost; else a string |
| boolean, NULL | true or false, null |
| json, jsonb | the value itself |
| bytea | a string, base64 |
| all others, arrays among them | a string, as PostgreSQL writes it: times in ISO 8601, in UTC |
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any, Final

import orjson

_DOUBLE_DIGITS: Final = 15
"""So many decimal digits pass through a double unchanged (DBL_DIG)."""


def to_json(type_oid: int, text: str) -> Any:
    """Return the JSON value of a text that PostgreSQL wrote for a value of this type."""
    convert = _CONVERSIONS.get(type_oid)
    return text if convert is None else convert(text)


def _float(text: str) -> Any:
    value = float(text)
    return value if math.isfinite(value) else text


def _numeric(text: str) -> Any:
    digits = text.lstrip("-").replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit()):
        return text
    if len(digits.lstrip("0")) > _DOUBLE_DIGITS:
        return text
    return float(text) if "." in text else int(text)


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text  # nested deeper, or with larger numbers, than JSON's readers take


def _bytea(text: str) -> Any:
    if not text.startswith("\\x"):
        return text
    return base64.b64encode(bytes.fromhex(text[2:])).decode()


def _boolean(text: str) -> Any:
    return text == "t"


_CONVERSIONS: Final[dict[int, Callable[[str], Any]]] = {
    16: _boolean,
    17: _bytea,
    20: int,
    21: int,
    23: int,
    26: int,
    114: _json,
    700: _float,
    701: _float,
    1700: _numeric,
    3802: _json,
}
"""By the OIDs of PostgreSQL's own types, which never change (pg_type.dat)."""
