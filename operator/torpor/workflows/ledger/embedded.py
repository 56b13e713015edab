"""A PostgreSQL of one's own for `torpor dev` and the tests: a folder in, a DSN out.

It listens on a Unix socket in a folder that only its owner
can enter, so nothing else reaches it, and it writes durably (fsync on) as a cluster's would.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from torpor.workflows.ledger.postgres_programs import (
    EmbeddedFailed,
    find_programs,
    gid,
    servant,
    uid,
)

DATABASE = "postgres"
USER = "torpor"
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02
_LONGEST_SOCKET_PATH = 90
"""A Unix socket's path has at most 107 bytes, and PostgreSQL adds `/.s.PGSQL.5432`."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class EmbeddedPostgres:
    """One server in one folder. Methods block: call them in a thread from async code.

    The server ends with the thread that started it, so that a killed process leaves none behind.
    `settings` are added to postgresql.conf's, e.g. `{"wal_level": "logical"}`.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self._folder = folder.resolve()
        self._data = self._folder / "data"
        self._settings = {**_SETTINGS, **(settings or {})}
        self._user = servant()
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets = self._socket_folder()
        self._programs = find_programs(self._user)

    @property
    def dsn(self) -> str:
        """Where asyncpg connects to."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        """Where asyncpg connects to for another database of this server."""
        return f"postgresql://{USER}@/{database}?host={quote(str(self._sockets), safe='')}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    def start(self) -> None:
        """Start the server and return when it takes connections; a new folder is made ready first.

        A server that an earlier, killed process left behind in this folder is stopped first.
        Raises EmbeddedFailed.
        """
        self._make_folders()
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        self._stop_leftover()
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        for name, value in {**self._settings, **self._listening()}.items():
            command += ["-c", f"{name}={value}"]
        with (self._folder / "postgres.log").open("ab") as log:
            self._process = self._spawn(command, log.fileno())
        self._await_ready()

    def stop(self) -> None:
        """Disconnect everybody, write a checkpoint, end. Raises EmbeddedFailed if it will not."""
        process, self._process = self._process, None
        try:
            if process is None or process.poll() is not None:
                return
            process.send_signal(signal.SIGINT)  # "fast shutdown": does not wait for clients
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            assert process is not None, "it was waited for"
            process.kill()
            process.wait(_STOP_SECONDS)
            raise EmbeddedFailed(f"PostgreSQL in {self._folder} had to be killed") from None
        finally:
            if self._sockets != self._folder:
                shutil.rmtree(self._sockets, ignore_errors=True)

    def kill(self) -> None:
        """End every process of the server at once, as a crash of the machine would."""
        process = self._process
        if process is None:
            return
        children = _children(process.pid)
        for pid in (process.pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(_STOP_SECONDS)
        self._process = None
        _await_gone(lambda: any(_command_line(pid) for pid in children))

    def _socket_folder(self) -> Path:
        if len(str(self._folder)) <= _LONGEST_SOCKET_PATH:
            return self._folder
        return Path(tempfile.mkdtemp(prefix="torpor-pg-"))

    def _make_folders(self) -> None:
        for folder in (self._folder, self._sockets, self._data):
            folder.mkdir(parents=True, exist_ok=True)
            if self._user is not None:
                os.chown(folder, self._user.pw_uid, self._user.pw_gid)
            folder.chmod(0o700)
        self._check_reachable()

    def _check_reachable(self) -> None:
        if self._user is None:
            return
        for folder in self._folder.parents:
            if not folder.stat().st_mode & 0o001:
                raise EmbeddedFailed(
                    f"PostgreSQL refuses to run as root, and the user {self._user.pw_name} cannot "
                    f"enter {folder}: choose a folder outside it, or run as an ordinary user"
                )

    def _initialise(self) -> None:
        command = [str(self._programs / "initdb"), "-D", str(self._data), "-U", USER]
        command += ["--encoding=UTF8", "--no-locale", "--auth=trust", "--no-instructions"]
        done = subprocess.run(  # noqa: S603 - our own words
            command,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            user=uid(self._user),
            group=gid(self._user),
        )
        if done.returncode != 0:
            shutil.rmtree(self._data, ignore_errors=True)
            raise EmbeddedFailed(f"initdb of {self._data}: {done.stderr.strip()[-500:]}")

    def _stop_leftover(self) -> None:
        """PostgreSQL mistakes a reused pid in a stale postmaster.pid for a live server."""
        lock = self._data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        if self._is_ours(pid):
            os.kill(pid, signal.SIGINT)
            _await_gone(lambda: self._is_ours(pid))
        self._end_orphans()
        lock.unlink(missing_ok=True)

    def _end_orphans(self) -> None:
        """End what outlives a server that was killed: it still has the old shared memory."""
        for pid in _working_in(self._data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _await_gone(lambda: bool(_working_in(self._data)))

    def _is_ours(self, pid: int) -> bool:
        return os.fsencode(self._data) in _command_line(pid)

    def _listening(self) -> dict[str, str]:
        return {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
        }

    def _spawn(self, command: list[str], log: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own words
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C at the terminal is ours to handle, not its
            preexec_fn=_end_with_parent,
            user=uid(self._user),
            group=gid(self._user),
            extra_groups=None if self._user is None else [],
        )

    def _await_ready(self) -> None:
        """The eighth line of postmaster.pid says when connections are taken (pg_ctl's way)."""
        process, lock = self._process, self._data / "postmaster.pid"
        assert process is not None, "it was started just now"
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            with contextlib.suppress(FileNotFoundError):
                lines = lock.read_text().splitlines()
                if len(lines) > 7 and lines[7].strip() == "ready" and lines[0] == str(process.pid):
                    return
            time.sleep(_POLL_SECONDS)
        self.kill()
        log = (self._folder / "postgres.log").read_text(errors="replace")
        raise EmbeddedFailed(f"PostgreSQL in {self._folder} did not start: {log.strip()[-500:]}")


@contextlib.contextmanager
def running(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[EmbeddedPostgres]:
    """A server for the length of a `with` block."""
    server = EmbeddedPostgres(folder, settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "logical",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
}


def _command_line(pid: int) -> list[bytes]:
    """The words of a process's command; empty when it is gone, or dead and not yet collected."""
    with contextlib.suppress(OSError):
        return [word for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if word]
    return []


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _working_in(folder: Path) -> list[int]:
    """The processes whose working directory it is, as that of all of a server's is its data's."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink() == folder:
                    found.append(int(entry.name))
    return found


def _await_gone(alive: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    while alive():
        if time.monotonic() > deadline:
            raise EmbeddedFailed("a PostgreSQL left behind does not stop")
        time.sleep(_POLL_SECONDS)


def _end_with_parent() -> None:
    """In the child: get SIGINT (PostgreSQL's fast shutdown) when the parent is killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
