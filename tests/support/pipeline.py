"""examples/video-pipeline as its reader runs it: one `torpor dev`, spoken to over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from torpor.dev.standins import APIS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "video-pipeline"
_START_SECONDS = 60.0
_ANSWER_SECONDS = 90.0
_END_SECONDS = 45.0


@dataclass(frozen=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that runs: `environment` has the addresses of the APIs, as its demo reads them."""

    environment: Mapping[str, str]

    def call(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Ask the gateway; with a body it is a POST."""
        return self._ask(f"{self.environment['TORPOR_GATEWAY']}{path}", body, headers)

    def aws(self, api: str, target: str, **asked: Any) -> Any:
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": target}
        answer = self._ask(f"{self.environment[api]}/", json.dumps(asked).encode(), headers)
        assert answer.status == 200, answer.body
        return answer.json()

    def snapshot(self) -> Any:
        """What the dashboard shows."""
        return self._ask(f"{self.environment['TORPOR_DASHBOARD']}/api/snapshot", None, {}).json()

    def torpor(self, *words: str) -> str:
        """Run a command of torpor's, which must succeed; return what it printed."""
        command = [sys.executable, "-m", "torpor.cli.main", *words]
        return subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def in_time(self, found: Any, seconds: float = 60.0) -> Any:
        """Return what `found()` returns once it is true; AssertionError if it never is."""
        until = time.monotonic() + seconds
        while not (value := found()):
            assert time.monotonic() < until, "it did not happen in time"
            time.sleep(0.1)
        return value

    def _ask(self, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        request = Request(url, body, dict(headers))
        try:
            with urlopen(request, timeout=_ANSWER_SECONDS) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())


@contextlib.contextmanager
def pipeline(folder: Path = EXAMPLE) -> Iterator[Pipeline]:
    """Run the folder inside the block, its Triggers subscribed."""
    with tempfile.TemporaryDirectory(prefix="torpor-test-") as state, free_ports(4) as ports:
        Path(state).chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
        urls = {name: f"http://127.0.0.1:{port}" for name, port in zip(APIS, ports, strict=True)}
        environment = {**os.environ, "XDG_STATE_HOME": state, "PYTHONUNBUFFERED": "1", **urls}
        options = ("--port", "--workflows-port", "--events-port", "--dashboard-port")
        words = [word for pair in zip(options, map(str, ports), strict=True) for word in pair]
        command = [sys.executable, "-m", "torpor.cli.main", "dev", str(folder), *words]
        log = Path(state) / "dev.log"
        with log.open("wb") as out:
            process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        found = Pipeline(environment)
        try:
            _subscribed(found, process, log)
            yield found
            process.send_signal(signal.SIGTERM)
            assert process.wait(_END_SECONDS) == 0, log.read_text()[-3000:]
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(_END_SECONDS)


def _subscribed(found: Pipeline, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while not _takes_events(found):
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < until, log.read_text()[-3000:]
        time.sleep(0.1)


def _takes_events(found: Pipeline) -> bool:
    try:
        triggers = found.snapshot()["triggers"]
    except OSError:
        return False  # it does not listen yet
    return bool(triggers) and all(each["state"] == "ready" for each in triggers)


@contextlib.contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    """Give ports that nobody listens on; all different, as they are looked for together."""
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in sockets]
    yield ports
