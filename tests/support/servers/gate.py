"""A way to a real HTTP server, on which answers can be replaced, lost, or never come.

Each request is passed on as it is, its Host too, so that signatures stay right.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

from tests.support.servers.daemon import free_port

_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered in the server's place: a status and S3's XML with this code."""

    status: int
    code: str


@dataclass(frozen=True, slots=True)
class LostAnswer:
    """The server does what it is asked, and the way breaks before it can say so."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing is passed on, and nothing answered, until `end` is set."""

    end: threading.Event


Deed = Answer | LostAnswer | Silence | None
Rule = Callable[[str, str], Deed]


def _pass(method: str, path: str) -> Deed:
    del method, path
    return None


@dataclass
class Gate:
    """Where the way begins. `rule` says for each method and path what happens, None: pass."""

    port: int
    rule: Rule = _pass
    _hindered: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def hindered(self) -> int:
        """How many requests were not simply passed on."""
        return self._hindered

    def open(self) -> None:
        """Pass everything from now on."""
        self.rule = _pass

    def wait_hindered(self, count: int) -> None:
        """Wait until so many requests were hindered."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._hindered >= count, _SECONDS)

    def deed(self, method: str, path: str) -> Deed:
        deed = self.rule(method, path)
        if deed is not None:
            with self._changed:
                self._hindered += 1
                self._changed.notify_all()
        return deed


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    gate: Gate
    upstream: str

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients are killed on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        deed = self.server.gate.deed(self.command, self.path)
        if isinstance(deed, Silence):
            deed.end.wait(_SECONDS)
            self.close_connection = True
        elif isinstance(deed, Answer):
            text = f"<Error><Code>{deed.code}</Code><Message>as told</Message></Error>"
            self._answer(deed.status, [("Content-Type", "application/xml")], text.encode())
        else:
            self._pass_on(body, deed)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = serve  # noqa: N815 - http.server's names

    def _pass_on(self, body: bytes, deed: Deed) -> None:
        way = http.client.HTTPConnection(self.server.upstream, timeout=_SECONDS)
        with contextlib.closing(way):
            way.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                way.putheader(name, value)
            way.endheaders(body)
            answer = way.getresponse()
            content = answer.read()
            if isinstance(deed, LostAnswer):
                self.close_connection = True
                return
            self._answer(answer.status, answer.getheaders(), content)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        length = str(len(content))
        for name, value in headers:
            if name.lower() == "content-length":
                length = value
            elif name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def gate_to(url: str) -> Iterator[Gate]:
    """A gate before the server at this URL."""
    gate = Gate(free_port())
    server = _Server(("127.0.0.1", gate.port), _Handler)
    server.gate, server.upstream = gate, url.removeprefix("http://")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="gate", daemon=True)
    thread.start()
    try:
        yield gate
    finally:
        server.shutdown()
        server.server_close()
        thread.join(_SECONDS)
