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
import stat
import tempfile
from collections.abc import Collection, Iterator
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
LOCK = ".lock"
"""Held by the run that is there now; the kernel lets it go however that run ends."""
_PASSING = "torpor-dev-"
"""How the names of temporary folders begin."""


@contextlib.contextmanager
def state_of(folder: Path) -> Iterator[Path]:
    """Yield a place for a run of `folder`; what is in it stays until the next run, KEPT longer.

    A second run of the same folder at the same time gets a place of its own. Where the state folder
    cannot be written, as in some containers, it is a new temporary folder; those of runs that are
    over are removed.
    """
    _sweep()
    name = folder.resolve().name or "root"
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:8]
    with contextlib.ExitStack() as stack:
        try:
            place = _claim(base() / f"{name}-{digest}", stack)
        except (OSError, RuntimeError):
            place = _claim_passing(stack)
        yield place


def lasts(place: Path) -> bool:
    """Return whether the next run of the folder finds what this one keeps in its place."""
    try:
        return place.parent == base()
    except RuntimeError:
        return False


def base() -> Path:
    """Return the folder of all runs; RuntimeError where the user has no home."""
    given = os.environ.get("XDG_STATE_HOME", "")
    state = Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "state"
    return state / "torpor" / "dev"


def _claim(wanted: Path, stack: contextlib.ExitStack) -> Path:
    for number in count(1):
        place = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        place.mkdir(parents=True, exist_ok=True)
        lock = stack.enter_context((place / LOCK).open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        _empty(place, KEPT)
        return place
    raise AssertionError("count never ends")


def _claim_passing(stack: contextlib.ExitStack) -> Path:
    """Return a new temporary folder whose lock is ours; one that is swept meanwhile is none."""
    while True:
        place = Path(tempfile.mkdtemp(prefix=_PASSING))
        lock = stack.enter_context((place / LOCK).open("w"))
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock.fileno()).st_nlink:
                return place


def _sweep() -> None:
    """Remove the temporary folders of runs of this user that are over; none that has no lock."""
    with contextlib.suppress(OSError):  # nowhere is a folder for temporary files
        for place in Path(tempfile.gettempdir()).glob(f"{_PASSING}*"):
            with contextlib.suppress(OSError):  # held, or gone meanwhile
                _remove(place)


def _remove(place: Path) -> None:
    """Remove a folder unless another user's; BlockingIOError if its run is there still."""
    found = place.lstat()  # what is ours here nobody else can put another thing in the place of
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        return
    lock = os.open(place / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _empty(place, frozenset())  # first: as long as it has its lock it is found again
        shutil.rmtree(place)
    finally:
        os.close(lock)


def _empty(place: Path, kept: Collection[str]) -> None:
    for item in place.iterdir():
        if item.name in kept:
            continue
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        elif item.name != LOCK:
            item.unlink()


def kept_key(file: Path) -> bytes:
    """Return the key in a file, made on the first run: tokens stay good as long as the state.

    It is there whole or not at all: with half a key, or none, tokens could be guessed.
    """
    if file.exists() and len(found := file.read_bytes()) == _KEY_BYTES:
        return found
    key = secrets.token_bytes(_KEY_BYTES)
    beside = file.with_name(f"{file.name}.new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(key)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(file)
    return key
