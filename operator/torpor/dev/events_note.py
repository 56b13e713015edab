"""Where a run left word of its events role, so that `torpor trigger`, `dlq` and others find it.

One file for each port of an events API, which only its user may read: the token is in it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from torpor.dev.state import base

log = logging.getLogger(__name__)
_HOSTS = frozenset({"127.0.0.1", "localhost"})


@dataclass(frozen=True, slots=True)
class EventsNote:
    """The internal API's URL, and the token that it asks for."""

    admin: str
    token: str = field(repr=False)


@contextlib.contextmanager
def left(port: int, note: EventsNote) -> Iterator[None]:
    """Leave word of the events API on this port inside the block."""
    file: Path | None = None
    try:
        file = _file(port)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        handle = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as out:
            json.dump({"admin": note.admin, "token": note.token}, out)
    except (OSError, RuntimeError) as error:
        log.warning("torpor trigger, dlq, replay and audit will not find it: %s", error)
    try:
        yield
    finally:
        if file is not None:
            file.unlink(missing_ok=True)


def found(endpoint: str | None) -> EventsNote | None:
    """Return what a run left about the events API at this URL; None if none did."""
    try:
        given = endpoint or ""
        url = urlsplit(given if "://" in given else f"http://{given}")
        if url.hostname not in _HOSTS or url.port is None:
            return None
        told = json.loads(_file(url.port).read_text())
        return EventsNote(str(told["admin"]), str(told["token"]))
    except (OSError, ValueError, LookupError, TypeError, RuntimeError):
        return None


def _file(port: int) -> Path:
    return base() / f".events-{port}.json"
