"""JSON that is given on the command line: inline, @FILE, or @- for stdin."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from torpor.errors import TorporError


class BadData(TorporError):
    """Data that cannot be read, or is not JSON."""

    code = "bad-data"


def json_data(data: str | None) -> str:
    """The text of a JSON value, checked; `{}` when none was given. Raises BadData."""
    if data is None:
        return "{}"
    text = _text(data)
    try:
        json.loads(text)
    except ValueError as error:
        where = "" if data.startswith("@") else "; @FILE reads a file"
        raise BadData(f"-d {_short(data)}: not JSON: {error}{where}") from None
    return text


def _text(data: str) -> str:
    if not data.startswith("@"):
        return data
    try:
        raw = sys.stdin.buffer.read() if data == "@-" else Path(data[1:]).read_bytes()
        return raw.decode()
    except OSError as error:
        raise BadData(f"-d {data}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadData(f"-d {data}: not text in UTF-8: {error}") from None


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
