"""Access tokens of OAuth connections (RFC 6749 section 4.4), each kept until it expires.

The endpoint that gives them is named by the installation, not by a definition's author: it may have
any address, and what it answers is in no error, since servers repeat credentials.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import orjson
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar
from yarl import URL

from torpor.workflows.engine.integrations.connections import (
    BadConnection,
    ConnectionProblem,
    OAuth,
    basic,
)
from torpor.workflows.engine.world import Clock

FETCH_SECONDS = 10.0
USUAL_SECONDS = 3_600.0
"""How long a token is taken to be good whose server does not say."""
EARLY_SECONDS = 30.0
"""So long before its end a token is no longer used, or half of its life if that is less."""
_MOST_BYTES = 65_536
_TOKEN = re.compile(r"[\x21-\x7e]+")

Owner = tuple[str, str]
"""A connection's namespace and name."""


@dataclass(frozen=True, slots=True, repr=False)
class _Token:
    text: str
    good_until: float


@dataclass(slots=True, repr=False)
class _Held:
    """The latest token of one connection, and what it was asked for with."""

    oauth: OAuth
    token: _Token | None = None
    coming: asyncio.Future[_Token] | None = None
    """What is being fetched, for all who want it."""


class AccessTokens:
    """The tokens of all connections."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[Owner, _Held] = {}

    async def get(self, owner: Owner, oauth: OAuth, refused: str | None = None) -> str:
        """Return a token that is good, and is not the one that was `refused`.

        BadConnection when the server refuses the client, ConnectionProblem when it is away.
        """
        held = self._held.get(owner)
        if held is None or held.oauth != oauth:
            held = self._held[owner] = _Held(oauth)
        known = held.token
        if known is None or known.text == refused or known.good_until <= self._clock.now():
            known = await self._shared(held)
        return known.text

    async def _shared(self, held: _Held) -> _Token:
        """A token that is fetched now: once, and its failure too, for all who ask meanwhile."""
        while held.coming is not None:
            coming = held.coming
            await asyncio.wait([coming])
            if not coming.cancelled():
                return coming.result()
        coming = held.coming = asyncio.get_running_loop().create_future()
        try:
            held.token = await self._fetched(held.oauth)
        except ConnectionProblem as problem:
            coming.set_exception(problem)
        else:
            coming.set_result(held.token)
        finally:
            held.coming = None
            _ = coming.cancel()  # of one that has an outcome nothing changes
        return coming.result()

    async def _fetched(self, oauth: OAuth) -> _Token:
        host, asked_at = URL(oauth.endpoint).host, self._clock.now()
        try:
            answer = await _ask(oauth)
        except (ClientError, OSError, TimeoutError, ValueError) as error:
            kind = type(error).__name__
            text = f"The token endpoint at {host} cannot be reached ({kind})."
            raise ConnectionProblem(text) from None
        token = answer.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise BadConnection(f"The token endpoint at {host} answered without an access_token.")
        seconds = _seconds(answer.get("expires_in"))
        return _Token(token, asked_at + seconds - min(EARLY_SECONDS, seconds / 2))


async def _ask(oauth: OAuth) -> Mapping[str, Any]:
    added = oauth.parameters
    form = {"grant_type": "client_credentials", **added.body}
    headers = {"Accept": "application/json", **added.headers}
    if "client_secret" not in {**form, **added.query}:  # else it is told in that way
        # RFC 6749 section 2.3.1: both are encoded as in a form first.
        proof = basic(quote_plus(oauth.client_id), quote_plus(oauth.client_secret))
        headers = {"Authorization": proof, **headers}
    by_query = oauth.method == "GET"
    url = URL(oauth.endpoint).update_query({**(form if by_query else {}), **added.query})
    async with (
        ClientSession(
            cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=FETCH_SECONDS)
        ) as session,
        session.request(
            oauth.method,
            url,
            headers=headers,
            data=None if by_query else form,
            allow_redirects=False,
        ) as answer,
    ):
        return await _read(answer)


async def _read(answer: ClientResponse) -> Mapping[str, Any]:
    if answer.status >= 500:
        text = f"The token endpoint at {answer.url.host} answered with the status {answer.status}."
        raise ConnectionProblem(text)
    if answer.status >= 300:
        raise BadConnection(
            f"The token endpoint at {answer.url.host} refused the client with the status "
            f"{answer.status}."
        )
    content = await answer.content.read(_MOST_BYTES)
    while not answer.content.at_eof() and len(content) < _MOST_BYTES:
        content += await answer.content.read(_MOST_BYTES - len(content))
    try:
        found = orjson.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return USUAL_SECONDS
    return seconds if 0 < seconds < float("inf") else USUAL_SECONDS
