"""HAProxy as a child of this process: started, watched, started again.

It dies with this process (PR_SET_PDEATHSIG by setpriv), since nobody else would tell it where the
instances are. The listening sockets belong to this process and are inherited, so while HAProxy is
started again new connections wait in the backlog instead of being refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import signal
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from torpor.errors import DataPlaneError
from torpor.telemetry.metrics import DATA_PLANE_RESTARTS

_READY_SECONDS = 15.0
_READY_POLL_SECONDS = 0.01
_BACKOFF_FIRST_SECONDS = 0.02
_BACKOFF_LAST_SECONDS = 5.0
_STABLE_SECONDS = 30.0
_END_SECONDS = 5.0
# Said for every client that leaves while its request is held, for every backend when HAProxy stops,
# and for every server that comes, goes, or refuses a connection: none is worth a line, since what
# the server is is not said, and the gateway knows it.
_ORDINARY = re.compile(
    r"aborting Lua processing on expired timeout"
    r"|stopped \(cumulated conns|Paused (frontend|proxy)"
    r"|[Ss]erver [bp]\d+/(s\d+|_again)\b|[Bb]ackend [bp]\d+ has no server available"
    r"|\[NOTICE\]"
)

_log = logging.getLogger(__name__)


class HaproxyProcess:
    """Keeps one HAProxy running. `prepare` writes its files before every start."""

    def __init__(
        self,
        program: str,
        config: Path,
        admin_socket: Path,
        inherited: Sequence[int],
        prepare: Callable[[], None],
    ) -> None:
        self._command = _command(program, config)
        self._admin_socket = admin_socket
        self._inherited = tuple(inherited)
        self._prepare = prepare
        self._child: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._said: deque[str] = deque(maxlen=20)
        self._up = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """HAProxy's process id, None while there is none."""
        child = self._child
        return child.pid if child and child.returncode is None else None

    @property
    def up(self) -> bool:
        """Whether HAProxy runs and takes commands."""
        return self._up.is_set() and self.pid is not None

    async def start(self) -> None:
        """Start HAProxy; DataPlaneError says why it would not run."""
        child, reading = await self._spawn()
        self._watch = asyncio.create_task(self._supervise(child, reading), name="haproxy-watch")

    def kill(self) -> None:
        """End HAProxy at once, with all that is open; it is started again."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()

    async def retire(self) -> None:
        """Let it run, but do not start it again when it ends."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    async def end(self) -> None:
        """End HAProxy, retired before, with all that is still open."""
        child = self._child
        if child is None or child.returncode is not None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await child.wait()
                    return

    async def _supervise(
        self, child: asyncio.subprocess.Process, reading: asyncio.Task[None]
    ) -> None:
        loop = asyncio.get_running_loop()
        backoff = _BACKOFF_FIRST_SECONDS
        while True:
            began = loop.time()
            code = await child.wait()
            await asyncio.gather(reading, return_exceptions=True)
            self._up.clear()
            DATA_PLANE_RESTARTS.inc()
            _log.error("HAProxy ended", extra={"fields": {"code": code, "said": list(self._said)}})
            if loop.time() - began > _STABLE_SECONDS:
                backoff = _BACKOFF_FIRST_SECONDS
            child, reading, backoff = await self._spawn_patiently(backoff)

    async def _spawn_patiently(
        self, backoff: float
    ) -> tuple[asyncio.subprocess.Process, asyncio.Task[None], float]:
        while True:
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _BACKOFF_LAST_SECONDS)
            try:
                child, reading = await self._spawn()
            except (DataPlaneError, OSError):
                _log.exception("HAProxy did not start")
                continue
            return child, reading, backoff

    async def _spawn(self) -> tuple[asyncio.subprocess.Process, asyncio.Task[None]]:
        self._prepare()
        self._admin_socket.unlink(missing_ok=True)
        reader_fd, writer_fd = os.pipe()
        # HAProxy must never wait for us to read what it says.
        os.set_blocking(writer_fd, False)
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command,
                pass_fds=self._inherited,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writer_fd,
                stderr=writer_fd,
            )
        except OSError as error:
            os.close(reader_fd)
            raise DataPlaneError(f"{self._command[-4]} cannot be run: {error}") from error
        finally:
            os.close(writer_fd)
        self._child = child
        reading = asyncio.create_task(self._read(reader_fd), name="haproxy-output")
        await self._ready(child, reading)
        self._up.set()
        return child, reading

    async def _ready(self, child: asyncio.subprocess.Process, reading: asyncio.Task[None]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READY_SECONDS):
                while child.returncode is None:
                    if await _accepts(self._admin_socket):
                        return
                    await asyncio.sleep(_READY_POLL_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        await asyncio.gather(reading, return_exceptions=True)
        raise DataPlaneError("HAProxy did not start: " + "; ".join(self._said))

    async def _read(self, descriptor: int) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(descriptor, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            while line := await reader.readline():
                self._heard(line.decode(errors="replace").rstrip())
        finally:
            transport.close()

    def _heard(self, line: str) -> None:
        level = logging.DEBUG if _ORDINARY.search(line) else logging.WARNING
        if level == logging.WARNING:
            self._said.append(line)
        _log.log(level, "HAProxy says: %s", line)


def _command(program: str, config: Path) -> list[str]:
    setpriv = shutil.which("setpriv")
    tied = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    return [*tied, program, "-db", "-f", str(config)]


async def _accepts(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return False
    writer.close()
    return True
