"""Answers `GET /progress`, from a thread that ends with the program."""

from __future__ import annotations

import json
import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, ClassVar

from torpor.checkpoint.progress import Progress

log = logging.getLogger(__name__)

_REQUEST_SECONDS = 5.0


class _Server(ThreadingTCPServer):
    """Not http.server's own: that one looks up the host's name in the DNS, which may take long."""

    allow_reuse_address = True
    daemon_threads = True
    progress: Progress

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.info("a question for the progress ended early: %s", sys.exc_info()[1])


class _Handler(BaseHTTPRequestHandler):
    timeout: ClassVar[float] = _REQUEST_SECONDS
    server: _Server

    def do_GET(self) -> None:
        found = self.path.partition("?")[0] == "/progress"
        answer = self.server.progress.snapshot() if found else {"error": "ask for /progress"}
        body = json.dumps(answer).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the leader asks every few seconds."""


_servers: dict[int, _Server] = {}
_lock = threading.Lock()


def serve(progress: Progress, port: int) -> None:
    """Answer with this progress on that port from now on. Raises OSError if the port is taken."""
    with _lock:
        if port in _servers:
            _servers[port].progress = progress
            return
        server = _Server(("0.0.0.0", port), _Handler)  # noqa: S104 - asked from outside the pod
        server.progress = progress
        _servers[port] = server
    threading.Thread(target=server.serve_forever, name="progress", daemon=True).start()
