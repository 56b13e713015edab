"""Where a run of `torpor dev` listens: all of it on this machine only."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import tempfile
from dataclasses import dataclass

from torpor.dev.standins import APIS
from torpor.errors import TorporError

HOST = "127.0.0.1"
_TRIED = 100
_OPENED = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class BadPort(TorporError):
    """No port to listen on."""

    code = "bad-port"


@dataclass(frozen=True, slots=True)
class Ports:
    """Of the gateway, the execution API, the events API and the dashboard; None: not served."""

    gateway: int
    executions: int | None = None
    events: int | None = None
    dashboard: int | None = None

    def addresses(self) -> dict[str, str]:
        """Return by variable of the environment where each is, empty for what is not served."""
        ports = (self.gateway, self.executions, self.events, self.dashboard)
        urls = (address(port) if port else "" for port in ports)
        return dict(zip(APIS, urls, strict=True))


def address(port: int) -> str:
    """Return the URL of a port here, without a slash at its end."""
    return f"http://{HOST}:{port}"


def choose_port(wanted: int | None, first: int, option: str = "--port") -> int:
    """Return `wanted` if it is free, or the first free port from `first` on; BadPort if none is."""
    if wanted is not None:
        why = _problem(wanted)
        if why is None:
            return wanted
        raise BadPort(f"port {wanted} on {HOST}: {why}; choose another with {option}")
    candidates = range(first, first + _TRIED)
    free = next((port for port in candidates if _problem(port) is None and _claim(port)), None)
    if free is None:
        raise BadPort(f"no port from {first} to {candidates[-1]} on {HOST} is free")
    return free


def _claim(port: int) -> bool:
    """Keep others of this user that start now from choosing the port, until this process ends.

    It is not listened at before seconds later, so that it is free says too little. Where nothing
    can be written down, nobody is kept away.
    """
    name = f"torpor-{os.getuid()}-port-{port}"
    try:
        claim = os.open(os.path.join(tempfile.gettempdir(), name), _OPENED, 0o600)
    except OSError:
        return True
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(claim)
        return False
    return True


def _problem(port: int) -> str | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return "is in use" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0)
    return None
