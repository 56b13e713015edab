"""Accepts connections, each in a thread of its own, and comes to an orderly end on SIGTERM."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` makes enumerations of
import _socket
import os
import threading
import time

from torpor_runtime.call import Caller
from torpor_runtime.connection import Connection
from torpor_runtime.executions import Executions
from torpor_runtime.limits import Limits
from torpor_runtime.listener import shut
from torpor_runtime.logs import write_line
from torpor_runtime.payload import payload_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from torpor_runtime.load import Handler
    from torpor_runtime.spans import Spans

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_EXHAUSTED_PAUSE_SECONDS = 0.05


def serve(handler: Handler, listener: _socket.socket) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status.

    It is 0, or 1 when every execution hangs and only another instance can go on.
    """
    server = Server(handler, Limits.of(os.environ), listener)
    for number in (_signal.SIGTERM, _signal.SIGINT):
        _signal.signal(number, lambda *_: server.end())
    status = server.run()
    if server.spans:
        server.spans.flush()
    return status


def _spans(environment: Mapping[str, str]) -> Spans | None:
    if not any(environment.get(name) for name in _ENDPOINTS):
        return None  # what the others would have to import
    from torpor_runtime.spans import spans_of

    return spans_of(environment)


class Server:
    """Serves one handler on one listening socket."""

    def __init__(self, handler: Handler, limits: Limits, listener: _socket.socket) -> None:
        self.limits = limits
        self.caller = Caller(handler)
        self.payload = payload_of(os.environ.get("TORPOR_PAYLOAD", "raw"))
        self.executions = Executions(limits, self._give_up)
        self.function = os.environ.get("TORPOR_FUNCTION", "")
        self.detail_token = os.environ.pop("TORPOR_DETAIL_TOKEN", "")
        self.spans = _spans(os.environ)
        self.is_ending = False
        self._listener = listener
        self._status = 0
        self._idle: set[Connection] = set()
        self._busy: set[Connection] = set()
        self._closed = threading.Condition(threading.Lock())

    def run(self) -> int:
        """Accept until asked to end, then let the requests that run finish."""
        while not self.is_ending:
            self._accept()
        self._listener.close()
        if self._status:
            self.executions.refuse_waiting()
        for connection in list(self._idle):
            connection.stop_reading()
        with self._closed:
            self._closed.wait_for(lambda: not self._busy, self.limits.timeout_seconds + 1)
        return self._status

    def end(self) -> None:
        """Accept nothing more; safe in a signal's handler and in any thread."""
        self.is_ending = True
        shut(self._listener, _socket.SHUT_RDWR)  # wakes who waits to accept

    def idles(self, connection: Connection) -> bool:
        """Take in that a connection waits for a request; return whether it may."""
        self._busy.discard(connection)
        self._idle.add(connection)
        return not self.is_ending  # looked at last: whoever ends looks at `_idle` after saying so

    def works(self, connection: Connection) -> None:
        """Take in that a connection has a request to be answered."""
        self._busy.add(connection)
        self._idle.discard(connection)

    def closed(self, connection: Connection) -> None:
        """Take in that a connection is over."""
        self._idle.discard(connection)
        self._busy.discard(connection)
        if self.is_ending:
            with self._closed:
                self._closed.notify_all()

    def _accept(self) -> None:
        try:
            number, _ = self._listener._accept()  # type: ignore[attr-defined]
        except TimeoutError:
            return  # nobody came
        except OSError as error:
            if not self.is_ending:  # out of descriptors: who connects waits in the backlog
                write_line("warning", f"cannot accept: {error}")
                time.sleep(_EXHAUSTED_PAUSE_SECONDS)
            return
        listener = self._listener
        socket = _socket.socket(listener.family, listener.type, listener.proto, number)
        serve = Connection(socket, self).serve
        try:
            threading.Thread(target=serve, name="connection", daemon=True).start()
        except RuntimeError as error:  # no more threads
            write_line("warning", f"cannot serve a connection: {error}")
            socket.close()

    def _give_up(self, reason: str) -> None:
        from torpor_runtime.failure import leave_reason

        message = f"{reason}: the instance is replaced"
        write_line("error", message)
        leave_reason(message)
        self._status = 1
        self.end()
