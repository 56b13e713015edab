"""Start: load the handler, listen, announce, serve. Imports here are paid on every cold start."""

from __future__ import annotations

import os
import socket
import sys

from torpor_runtime.announce import announce_in_background
from torpor_runtime.load import load_handler

_BACKLOG = 1024


def main() -> int:
    """Serve until SIGTERM; return 0, or 1 when the code cannot be loaded or the port is taken."""
    try:
        handler = load_handler(os.environ)
        listener = _listen(os.environ.get("TORPOR_BIND", ""), int(os.environ.get("PORT", "8080")))
    except BaseException as error:  # user code may raise anything while it is imported
        from torpor_runtime.failure import report_start_failure

        return report_start_failure(error)
    announce_in_background(os.environ, listener.getsockname()[1])

    from torpor_runtime.server import serve

    return serve(handler, listener)


def _listen(host: str, port: int) -> socket.socket:
    if host:
        return socket.create_server((host, port), backlog=_BACKLOG)
    try:
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG
        )
    except OSError:  # a node without IPv6; a port that is taken fails again below
        return socket.create_server(("", port), backlog=_BACKLOG)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a handler's thread that never returns must not keep the pod
