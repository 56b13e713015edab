"""Loopback ports for local processes: which to listen on, and the proof of who listens there.

Another program, a second `torpor dev` among them, may take a port between our choosing it and the
process listening. So a port counts as a process's own only when its listener is, which Linux tells
in /proc; elsewhere whoever listens is taken for it.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Collection, Iterator
from pathlib import Path

_PORTS = range(20_000, 32_000)
"""Below the ports that Linux and macOS give to outgoing connections, so that none is taken away
between choosing and listening."""
_PROC = Path("/proc")
_LISTEN = "0A"
_ADDRESSES = {
    "tcp": ("00000000", "0100007F"),
    "tcp6": (32 * "0", "0000000000000000FFFF00000100007F"),
}
"""How the tables of /proc/net write the addresses that a connection to 127.0.0.1 may reach."""


def choose_port(used: Collection[int]) -> int:
    """Return a free port not in `used`, at random so that two sessions differ; OSError if none."""
    candidates = random.sample(_PORTS, len(_PORTS))
    for port in candidates:
        if port not in used and _is_free(port):
            return port
    raise OSError(f"no free port on 127.0.0.1 in {_PORTS.start}-{_PORTS.stop - 1}")


def listens(leader: int, port: int) -> bool:
    """Return whether a process of the session that `leader` leads listens on 127.0.0.1:`port`.

    Call it when a connection was accepted: what cannot be known is answered with True.
    """
    if not (_PROC / "net" / "tcp").exists():
        return True
    sockets = {f"socket:[{inode}]" for inode in _listeners(port)}
    return any(not sockets.isdisjoint(_open_files(pid)) for pid in _session(leader))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _listeners(port: int) -> Iterator[str]:
    for table, addresses in _ADDRESSES.items():
        ends = {f"{address}:{port:04X}" for address in addresses}
        file = _PROC / "net" / table
        for line in file.read_text().splitlines()[1:] if file.exists() else ():
            columns = line.split()
            if columns[1] in ends and columns[3] == _LISTEN:
                yield columns[9]


def _session(leader: int) -> Iterator[int]:
    """Yield the leader first, which listens itself as a rule, then what it started."""
    yield leader
    for name in os.listdir(_PROC):
        if name.isdigit() and int(name) != leader and _session_of(int(name)) == leader:
            yield int(name)


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:  # it ended while we looked
        return None


def _open_files(pid: int) -> Iterator[str]:
    folder = f"{_PROC}/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:  # it ended, or became another user's
        return
    for name in names:
        try:
            yield os.readlink(f"{folder}/{name}")
        except OSError:  # closed while we looked
            continue
