"""The faults of `torpor dev`, asked for at its dashboard."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp

from torpor.cli import cluster
from torpor.cli.chaos.outcome import Outcome
from torpor.cli.cluster import Request
from torpor.dashboard.guard import PAGE_HEADER
from torpor.errors import TorporError

_ANSWER_SECONDS = 100.0
"""It answers when what was broken is back, or after 80 s."""


class FaultRefused(TorporError):
    """torpor dev did not do it; the message is its own."""

    code = "fault-refused"


@dataclass(frozen=True, slots=True)
class DevChaos:
    """One torpor dev, by its dashboard's URL without a slash at its end."""

    session: aiohttp.ClientSession
    url: str

    async def fault(self, name: str, body: Mapping[str, Any]) -> Outcome:
        """Have a fault done, and return what came of it; FaultRefused."""
        request = Request(
            "POST",
            f"{self.url}/api/chaos/{name}",
            {PAGE_HEADER: "chaos", "Content-Type": "application/json"},
            json.dumps(body).encode(),
            _ANSWER_SECONDS,
        )
        whom = f"torpor dev at {self.url}"
        async with cluster.exchange(self.session, request, whom) as answer:
            return _outcome(answer.status, await answer.read())


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[DevChaos]:
    """Have a way to the torpor dev with this dashboard inside the block."""
    whole = url if "://" in url else f"http://{url}"
    async with aiohttp.ClientSession() as session:
        yield DevChaos(session, whole.rstrip("/"))


def _outcome(status: int, answer: bytes) -> Outcome:
    try:
        found = json.loads(answer)
    except ValueError:
        found = {}
    if status == HTTPStatus.OK:
        return Outcome(found["did"], found["lost"], found["watch"])
    detail = found.get("detail") if isinstance(found, dict) else None
    if status == HTTPStatus.NOT_FOUND and not detail:
        detail = "there is no dashboard of torpor dev: give the URL that it prints"
    raise FaultRefused(str(detail or f"status {status}"))
