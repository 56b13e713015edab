"""Examples as their reader has them: copies of their YAML in a folder, and one `torpor dev` of it.

Several examples share a session, as starting PostgreSQL and NATS takes most of a test's time.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
START_SECONDS = 60.0
"""For a run to be ready, or to end: on a machine with much else to do."""
WORK_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_PLACE = "logs in "


def copied(target: Path, name: str, instead: Mapping[str, str] | None = None) -> None:
    """Copy the YAML of an example into a folder, with these words in place of those."""
    for file in (EXAMPLES / name).glob("*.yaml"):
        text = file.read_text()
        for word, other in (instead or {}).items():
            assert word in text, f"{file} does not have {word!r}"
            text = text.replace(word, other)
        (target / f"{name}-{file.name}").write_text(text)


@contextmanager
def state_folder() -> Iterator[Path]:
    """A place that PostgreSQL may enter, which runs as another user where the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="torpor-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@dataclass(frozen=True, slots=True)
class Ports:
    """Free ports for the gateway, the execution API, the events API and the dashboard."""

    gateway: int
    workflows: int
    events: int
    dashboard: int

    @property
    def options(self) -> list[str]:
        """What tells `torpor dev` of them."""
        found = ["--port", self.gateway, "--workflows-port", self.workflows]
        found += ["--events-port", self.events, "--dashboard-port", self.dashboard]
        return [str(word) for word in found]

    @classmethod
    def free(cls) -> Ports:
        sockets = [socket.socket() for _ in range(4)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        found = cls(*(each.getsockname()[1] for each in sockets))
        for each in sockets:
            each.close()
        return found


@dataclass(frozen=True, slots=True)
class Session:
    """A running `torpor dev`."""

    process: subprocess.Popen[bytes]
    state: Path
    ports: Ports
    log: Path

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.ports.gateway}"

    @property
    def events(self) -> str:
        return f"http://127.0.0.1:{self.ports.events}"

    @property
    def place(self) -> Path:
        """Where the functions' logs and the buckets are."""
        [found] = [line for line in self.said() if line.startswith(_PLACE)]
        return Path(found.removeprefix(_PLACE))

    def bucket(self, name: str) -> Path:
        return self.place / "objects" / name

    def objects(self, bucket: str, pattern: str) -> list[Path]:
        return sorted(self.bucket(bucket).glob(pattern))

    def client(self, service: str) -> Any:
        """A boto3 client: of `stepfunctions`, or of the events API."""
        port = self.ports.workflows if service == "stepfunctions" else self.ports.events
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=Config(inject_host_prefix=False, retries={"total_max_attempts": 1}),
        )

    def publish(self, bus: str, kind: str, *details: Any) -> None:
        """Publish events to a bus, in this order."""
        entries = [
            {"EventBusName": bus, "Source": "test", "DetailType": kind, "Detail": json.dumps(each)}
            for each in details
        ]
        client = self.client("events")
        for first in range(0, len(entries), 10):
            answer = client.put_events(Entries=entries[first : first + 10])
            assert answer["FailedEntryCount"] == 0

    def logged(self, function: str) -> list[str]:
        """All lines that a function's instances wrote."""
        files = (self.place / "default" / function / "logs").glob("*.log")
        return [line for file in sorted(files) for line in file.read_text().splitlines()]

    def said(self) -> list[str]:
        """All lines that `torpor dev` printed."""
        return self.log.read_text().splitlines()

    async def until(self, holds: Callable[[], object], seconds: float = WORK_SECONDS) -> None:
        """Wait until something holds; the session's last lines are shown when it does not."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():  # noqa: ASYNC110 - other processes make it hold
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            print("\n".join(self.said()[-30:]))
            raise

    def kill(self) -> None:
        """Take it away as a power cut would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(folder: Path, state: Path) -> Iterator[Session]:
    """Serve a folder inside the block, with all of its Triggers subscribed."""
    ports = Ports.free()
    log = state / f"{ports.gateway}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "torpor.cli.main", "dev", str(folder), *ports.options],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "XDG_STATE_HOME": str(state)},
        )
    try:
        session = Session(process, state, ports, log)
        _wait_for(session, _triggers(folder))
        yield session
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(START_SECONDS) == 0, "\n".join(session.said())
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _triggers(folder: Path) -> int:
    """How many Triggers will say that they are subscribed: not those of requests."""
    texts = [text for file in folder.glob("*.yaml") for text in file.read_text().split("\n---\n")]
    triggers = [text for text in texts if "\nkind: Trigger" in text]
    return sum("\n    http:" not in text for text in triggers)


def _wait_for(session: Session, subscribed: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        lines = session.said()
        ready = any(line.startswith(_PLACE) for line in lines)
        seen = {line.split()[0] for line in lines if "trigger Subscribed" in line}
        if ready and len(seen) == subscribed:
            return
        assert session.process.poll() is None, "\n".join(lines)
        assert time.monotonic() < deadline, "\n".join(lines)
        time.sleep(_LOOK_SECONDS)
