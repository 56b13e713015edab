"""The socket that requests come in by."""

from __future__ import annotations

import _socket

_BACKLOG = 1024
_LOOK_SECONDS = 1.0
"""How long one wait for a connection lasts. A signal that comes right before a wait does not end
it: while another thread asks for the interpreter that moment is a long one."""


def listen(host: str, port: int) -> _socket.socket:
    """Return a socket that listens on `host`, or on every address; OSError if it is taken."""
    if host:
        return _listen(_socket.AF_INET, host, port)
    try:
        return _listen(_socket.AF_INET6, "::", port)
    except OSError:  # a node without IPv6; a port that is taken fails again below
        return _listen(_socket.AF_INET, "0.0.0.0", port)  # noqa: S104 - a pod serves its network


def shut(socket: _socket.socket, how: int) -> None:
    """Shut one or both directions down, unless that has happened."""
    try:  # noqa: SIM105 - importing contextlib takes longer than listening
        socket.shutdown(how)
    except OSError:
        pass  # closed by either side


def _listen(family: int, host: str, port: int) -> _socket.socket:
    listener = _socket.socket(family, _socket.SOCK_STREAM)
    try:
        listener.settimeout(_LOOK_SECONDS)
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if family == _socket.AF_INET6:
            listener.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0)
        # Accepted connections inherit it; answers must not wait for acknowledgements.
        listener.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
