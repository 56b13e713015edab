"""The connection to NATS: made again for ever, with growing pauses, and one log line a minute."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats.errors
from nats.aio.client import Client

from torpor.telemetry.logs import Seldom
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker.beside import beside
from torpor.triggers.broker.link import Link
from torpor.triggers.broker.room import Room

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 10.0
_CONNECT_SECONDS = 5
_PING_SECONDS = 10
_PENDING_BYTES = 64 << 20
"""Above it nats-py waits for the socket inside `publish`, where it swallows a cancellation."""
_QUIET_SECONDS = 60.0
_CLOSE_SECONDS = 5.0
_LOOK_SECONDS = 1.0
INBOX_MESSAGES = 1_000_000
LINK_WAIT_SECONDS = 5.0
"""How long what needs the broker waits for a connection unless told otherwise."""


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where the broker is and who we are. At most one of user, token and credentials is used."""

    servers: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    name: str = "torpor"
    user: str = ""
    password: str = ""
    token: str = ""
    credentials_file: str = ""
    """A `.creds` file with a JWT and its key."""
    ca_file: str = ""
    """PEM of who signed the servers' certificates; with a `tls://` server the default: the
    system's."""
    certificate_file: str = ""
    key_file: str = ""
    replicas: int = 1
    """Copies of each stream: 1, 3 or 5."""
    store_bytes: int = 0
    """What one server stores (`max_file_store`); 0: the account's limit, or found out when full."""
    stream_max_bytes: int = -1
    """What one stream may hold, which the server sets aside for it; -1: what the server has left
    (its `max_file_store`). Full, either refuses what is new."""
    inbox_messages: int = INBOX_MESSAGES
    """What one Trigger's inbox may hold (with order by key: each of its partitions), so that one
    whose target is away does not fill the disk for all; -1: no limit. Full, it refuses what is new.
    """


class Connection:
    """The one connection of a process. `link()` gives the connection of now."""

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self._chance = chance
        self._link: Link | None = None
        self._connected = asyncio.Event()
        self._said = Seldom(clock, _QUIET_SECONDS)
        self._problem = "not connected yet"
        self.room = Room()
        """What is left of the store, as last looked at."""
        self.admitted_bytes = 0
        """Sent to streams since then."""
        self.store_full = False
        """Whether JetStream has said since then that it is full."""
        self.look_wanted = asyncio.Event()
        """Set when somebody has to look at once."""

    @property
    def ready(self) -> bool:
        """Whether there is a connection now."""
        return self._connected.is_set()

    @property
    def problem(self) -> str:
        """Why there is no connection; empty while there is one."""
        return "" if self.ready else self._problem

    async def link(self, wait_seconds: float = LINK_WAIT_SECONDS) -> Link:
        """Return the connection of now, waiting for one. Raises BrokerAway."""
        if self._link is not None and not self._link.lost.is_set():
            return self._link
        try:
            async with asyncio.timeout(wait_seconds):
                await self._connected.wait()
        except TimeoutError:
            raise BrokerAway(f"the broker is away: {self._problem}") from None
        assert self._link is not None, "it is connected"
        return self._link

    async def run(self) -> None:
        """Be connected, for ever; cancel it to close."""
        pause = _FIRST_PAUSE_SECONDS
        for server in itertools.cycle(self.settings.servers):
            try:
                await self._hold(server)
                pause = _FIRST_PAUSE_SECONDS
            except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
                self._fail(server, str(error) or type(error).__name__)
            await asyncio.sleep(pause * (0.5 + 0.5 * self._chance()))
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _hold(self, server: str) -> None:
        """Connect to one server and return when the connection is lost."""
        client, errors = Client(), _LastError()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS * 3):
                await self._open(client, server, errors)
            self._said.forget()
            log.info("connected to the broker", extra={"fields": {"server": _place(server)}})
            await errors.until_closed(client)
            self._fail(server, errors.text or "the connection was lost")
        finally:
            await self._close(client)

    async def _open(self, client: Client, server: str, errors: _LastError) -> None:
        try:
            await client.connect(server, **self._options(), **errors.callbacks())
        except nats.errors.NoServersError:
            raise nats.errors.Error(errors.text or "no server answers") from None
        link = Link(client)
        await link.begin()
        self._link = link
        self._connected.set()

    async def _close(self, client: Client) -> None:
        self._connected.clear()
        if self._link is not None:
            self._link.end()
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await client.close()

    def _fail(self, server: str, problem: str) -> None:
        self._problem = problem
        if self._said.due():
            log.warning(
                "the broker is away",
                extra={"fields": {"server": _place(server), "problem": problem}},
            )

    def _options(self) -> dict[str, Any]:
        """Of nats-py: one try, no reconnecting; that is done here."""
        settings = self.settings
        found: dict[str, Any] = {
            "name": settings.name,
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "connect_timeout": _CONNECT_SECONDS,
            "ping_interval": _PING_SECONDS,
            "pending_size": _PENDING_BYTES,
            "flush_timeout": _CONNECT_SECONDS,
        }
        if settings.credentials_file:
            found["user_credentials"] = settings.credentials_file
        elif settings.token:
            found["token"] = settings.token
        elif settings.user:
            found |= {"user": settings.user, "password": settings.password}
        context = _tls(settings)
        return found if context is None else {**found, "tls": context}


@contextlib.asynccontextmanager
async def connected(settings: BrokerSettings) -> AsyncIterator[Connection]:
    """A connection for the length of a block; it need not be there at the block's beginning."""
    connection = Connection(settings)
    async with beside(connection.run(), "broker connection"):
        yield connection


class _LastError:
    """What nats-py says of a connection: kept, where it would print a traceback a time."""

    def __init__(self) -> None:
        self.text = ""
        self.closed = asyncio.Event()

    def callbacks(self) -> dict[str, Any]:
        return {"error_cb": self._failed, "closed_cb": self._ended}

    async def until_closed(self, client: Client) -> None:
        """nats-py does not call back when its own closing fails half-way."""
        while not client.is_closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self.closed.wait()

    async def _failed(self, error: Exception) -> None:
        self.text = str(error) or type(error).__name__

    async def _ended(self) -> None:
        self.closed.set()


def _place(server: str) -> str:
    """The address without a password that may be in it."""
    return server.rpartition("@")[2]


def _tls(settings: BrokerSettings) -> ssl.SSLContext | None:
    secure = any(server.startswith("tls://") for server in settings.servers)
    if not (secure or settings.ca_file or settings.certificate_file):
        return None
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if settings.certificate_file:
        context.load_cert_chain(
            Path(settings.certificate_file), Path(settings.key_file or settings.certificate_file)
        )
    return context
