"""What the clients of another role's API share: an address, a token, and their connections."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar, Self

import aiohttp


@dataclass
class RoleClient:
    """Calls the API at `url`; use it as an async context.

    `token` is what the API is called with, empty where it asks for none. To connect may take
    `connect_seconds`; more than `connections` at once wait, and 0 is for no limit. How long a call
    may take, and whether it is sent again, each client knows.
    """

    connect_seconds: ClassVar[float] = 5.0
    connections: ClassVar[int] = 0

    url: str
    token: str = field(default="", repr=False)
    _session: aiohttp.ClientSession | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.connect_seconds),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session:
            await self._session.close()
