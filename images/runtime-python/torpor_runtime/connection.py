"""One connection: requests one after another, each answered by the handler or in its place."""

from __future__ import annotations

import _socket
import os
import time
from contextvars import copy_context

from torpor_runtime import wire
from torpor_runtime.answer import problem
from torpor_runtime.listener import shut
from torpor_runtime.request import Request, render, request_id_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torpor_runtime.server import Server

SILENCE_SECONDS = 75.0
"""How long a client may say or take nothing: longer than any gateway keeps an idle connection."""
_BODY_SECONDS = 60.0
_LINGER_SECONDS = 2.0
_SLICE_BYTES = 256 * 1024


class Connection:
    """Serves one accepted socket until either side ends it."""

    def __init__(self, socket: _socket.socket, server: Server) -> None:
        self._socket = socket
        self._server = server
        self._reader = wire.Reader(socket.recv)

    def serve(self) -> None:
        """Answer requests until the connection is closed."""
        try:
            self._socket.settimeout(SILENCE_SECONDS)
            while self._serve_one():
                pass
        except (OSError, EOFError):
            pass  # the client left or fell silent: nobody is there to be told
        finally:
            self._server.closed(self)
            self._socket.close()

    def stop_reading(self) -> None:
        """Let an idle connection end as if its client had closed it."""
        shut(self._socket, _socket.SHUT_RD)

    def _serve_one(self) -> bool:
        if not self._server.idles(self):
            return False
        head = None
        try:
            self._reader.deadline = time.monotonic() + SILENCE_SECONDS
            head = wire.read_head(self._reader)
            if head is None:
                return False
            self._server.works(self)
            body = self._body(head)
        except wire.Refusal as refusal:
            self._refuse(refusal, request_id_of(head))
            return False
        return copy_context().run(Request(head, self, self._server).answer, body)

    def _body(self, head: wire.Head) -> bytes:
        limit = self._server.limits.body_bytes
        if head.expects_continue and (head.length or 0) <= limit:
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._reader.deadline = time.monotonic() + _BODY_SECONDS
        return wire.read_body(self._reader, head, limit)

    def _refuse(self, refusal: wire.Refusal, request_id: str) -> None:
        """Answer, then drop what still comes: closing at once would reset the answer away."""
        answer = problem(refusal.status, refusal.detail, request_id)
        self.send(render(answer, "close"))
        shut(self._socket, _socket.SHUT_WR)
        self._socket.settimeout(_LINGER_SECONDS)
        until = time.monotonic() + _LINGER_SECONDS
        while time.monotonic() < until and self._socket.recv(_SLICE_BYTES):
            continue

    def send(self, data: bytes) -> None:
        """Send all of it; a client may take long as long as it takes some."""
        view = memoryview(data)
        for start in range(0, len(data), _SLICE_BYTES):
            self._socket.sendall(view[start : start + _SLICE_BYTES])

    def cut(self, last_words: bytes) -> None:
        """End the connection from another thread, with what can be said without waiting."""
        try:  # noqa: SIM105 - importing contextlib takes longer than answering
            os.write(self._socket.fileno(), last_words)
        except OSError:
            pass  # the client has left, or takes nothing
        shut(self._socket, _socket.SHUT_RDWR)
        self._server.closed(self)  # last: the process may end when all are

    def abort(self) -> None:
        """Have the close be a reset: the client must not take what it got for whole."""
        self._socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    @property
    def has_left(self) -> bool:
        """Whether the client has closed the connection."""
        self._socket.settimeout(0)
        try:
            return not self._socket.recv(1, _socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:  # it was reset
            return True
        finally:
            self._socket.settimeout(SILENCE_SECONDS)
