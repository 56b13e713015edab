"""Whoever keeps the runs of a cluster, for one gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from torpor.gateway.runs.base import NoRuns, Runs
from torpor.gateway.runs.remote import RemoteRuns
from torpor.resources.tokens import internal_token
from torpor.settings import GatewaySettings


@asynccontextmanager
async def kept_runs(settings: GatewaySettings, key: bytes) -> AsyncIterator[Runs]:
    """Yield them; NoRuns where the settings name no controller."""
    if not settings.runs_url:
        yield NoRuns()
        return
    async with RemoteRuns(settings.runs_url, internal_token(key)) as runs:
        yield runs
