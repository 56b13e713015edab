"""What does not change while HAProxy runs: its listeners, its sizes, and where its files are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

AGAIN = "_again"
"""The backup server of every backend: the door `again`."""

EVENTS_BACKEND = "events"
LAMBDA_BACKEND = "lambda"
ASYNC_BACKEND = "async"

HOST_MAP = "host.map"
PATH_MAP = "path.map"
SLOT_MAP = "slot.map"
TIMEOUT_MAP = "timeout.map"
HOME_MAP = "home.map"
ROUTE_MAP = "route.map"
RESERVED_MAP = "reserved.map"
MAPS = (
    HOST_MAP,
    PATH_MAP,
    SLOT_MAP,
    TIMEOUT_MAP,
    HOME_MAP,
    ROUTE_MAP,
    RESERVED_MAP,
)

PRESENT_TABLE = "present"
"""Counts the requests of each function with a share of reserved concurrency."""


@dataclass(frozen=True, slots=True)
class Options:
    """What does not change while the plane runs. The listeners are inherited descriptors."""

    run_directory: Path
    public_fd: int
    peer_fd: int
    slots: int
    peers: int = 16
    max_connections: int = 8000
    hold_seconds: int = 60
    """How long a request may wait in a slot's queue; the activator bounds what it holds itself."""
    header_seconds: int = 10
    """How long a client may take to send a request's headers."""
    events: tuple[str, int] | None = None
    """Host and port of the events role, if there is one; a name is asked for again and again."""
    tells_holds: bool = False
    """Whether each request that is held has a span."""

    @property
    def config(self) -> Path:
        """The main file."""
        return self.run_directory / "haproxy.cfg"

    @property
    def lua(self) -> Path:
        """The hold action."""
        return self.run_directory / "hold.lua"

    @property
    def admin_socket(self) -> Path:
        """HAProxy's runtime API: whoever can open it commands HAProxy."""
        return self.run_directory / "admin.sock"

    @property
    def hold_socket(self) -> Path:
        """Where Python answers the hold action."""
        return self.run_directory / "hold.sock"

    @property
    def again_socket(self) -> Path:
        """The door `again`."""
        return self.run_directory / "again.sock"

    @property
    def lambda_socket(self) -> Path:
        """Where Python serves the Lambda API."""
        return self.run_directory / "lambda.sock"

    @property
    def async_socket(self) -> Path:
        """Where Python takes the calls that nobody waits for."""
        return self.run_directory / "async.sock"

    def map(self, name: str) -> Path:
        """Return the file of one of `MAPS`; the runtime API calls the map by this path."""
        return self.run_directory / name


def slot_names(letter: str, count: int) -> list[str]:
    """Return the names of the backends of one kind: `b` for functions, `p` for peers."""
    return [f"{letter}{index}" for index in range(count)]
