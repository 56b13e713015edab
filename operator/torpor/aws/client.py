"""What the clients of another role's AWS API share: an address, a token, and their connections."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp

_CONNECT_SECONDS = 5.0


@dataclass
class ApiClient:
    """Calls the API at `url`; use it as an async context.

    `token` is what the API is called with, empty where it asks for none.
    """

    url: str
    token: str = field(default="", repr=False)
    _session: aiohttp.ClientSession | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
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
