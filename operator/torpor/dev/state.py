"""Where a run leaves what it wrote, so that it can be read when the run is over.

The place is the user's state folder (XDG Base Directory Specification), one for each folder that is
served: not the folder itself, which is followed for changes and may be read-only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

WORKFLOWS = "workflows"
"""Executions, which go on in the next run."""
EVENTS = "events"
"""Events that are not delivered yet, and the archives of buses."""
RUNS = "runs"
"""Runs of Job Functions, which go on in the next run of the folder."""
OBJECTS = "objects"
"""The object store: each folder in it is a bucket."""
KEPT = frozenset({WORKFLOWS, EVENTS, OBJECTS, RUNS})
"""What is not emptied."""
_KEY_BYTES = 32
_LOCK = ".lock"


@contextlib.contextmanager
def state_of(folder: Path) -> Iterator[Path]:
    """Yield a place for a run of `folder`; what is in it stays until the next run, KEPT longer.

    A second run of the same folder at the same time gets a place of its own. Where the state folder
    cannot be written, as in some containers, it is a new temporary folder.
    """
    name = folder.resolve().name or "root"
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:8]
    with contextlib.ExitStack() as stack:
        try:
            place = _claim(base() / f"{name}-{digest}", stack)
        except (OSError, RuntimeError):
            place = Path(tempfile.mkdtemp(prefix="torpor-dev-"))
        yield place


def base() -> Path:
    """Return the folder of all runs; RuntimeError where the user has no home."""
    given = os.environ.get("XDG_STATE_HOME", "")
    state = Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "state"
    return state / "torpor" / "dev"


def _claim(wanted: Path, stack: contextlib.ExitStack) -> Path:
    for number in count(1):
        place = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        place.mkdir(parents=True, exist_ok=True)
        lock = stack.enter_context((place / _LOCK).open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        _empty(place)
        return place
    raise AssertionError("count never ends")


def _empty(place: Path) -> None:
    for item in place.iterdir():
        if item.name in KEPT:
            continue
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        elif item.name != _LOCK:
            item.unlink()


def kept_key(file: Path) -> bytes:
    """Return the key in a file, made on the first run: tokens stay good as long as the state."""
    if file.exists():
        return file.read_bytes()
    key = secrets.token_bytes(_KEY_BYTES)
    handle = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(key)
    return key
