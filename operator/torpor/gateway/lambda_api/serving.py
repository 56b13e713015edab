"""The Lambda API of one gateway: its settings, and its socket while the gateway runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from torpor.aws.access import Access
from torpor.gateway.deferred.handover import Handover
from torpor.gateway.deferred.serving import new_id
from torpor.gateway.lambda_api.calls import Catalog
from torpor.gateway.lambda_api.deferred import Deferred
from torpor.gateway.lambda_api.names import DEFAULT_NAMESPACE, Place
from torpor.gateway.lambda_api.server import LambdaApi, Parts
from torpor.gateway.runs.base import Runs
from torpor.invoke import Invoker
from torpor.settings import BadSetting, GatewaySettings


class Doors(Protocol):
    """The data plane, as far as the API stands behind it and calls through it."""

    @property
    def port(self) -> int:
        """Where clients connect."""

    @property
    def lambda_socket(self) -> Path:
        """Where it expects the Lambda API."""


@asynccontextmanager
async def lambda_api(
    settings: GatewaySettings,
    catalog: Catalog,
    doors: Doors,
    key: bytes,
    handover: Handover,
    runs: Runs,
) -> AsyncIterator[None]:
    """Serve the API inside the block; BadSetting if the settings make no sense."""
    access = access_of(settings)
    place = Place(settings.region, settings.account, settings.watch_namespace or DEFAULT_NAMESPACE)
    async with invoker(f"http://127.0.0.1:{doors.port}", key) as invoking:
        deferred = Deferred(catalog, handover, place, new_id, runs)
        api = LambdaApi(Parts(catalog, invoking, place, access, deferred))
        await api.start_at(doors.lambda_socket)
        try:
            yield
        finally:
            await api.stop()


def invoker(gateway: str, key: bytes) -> Invoker:
    """Return what calls functions at the gateway's own door."""
    return Invoker(gateway, key=key)


def access_of(settings: GatewaySettings) -> Access | None:
    """Return who may use the API; None: nobody, as no client is known. BadSetting if unclear.

    The gateway's door may stand open to the Internet, and a call here is believed to come from
    within: nobody is let in unless the installation says so.
    """
    if settings.api_clients not in ("anyone", "known"):
        raise BadSetting(
            f"TORPOR_API_CLIENTS: {settings.api_clients!r} is neither anyone nor known"
        )
    access = Access(dict(settings.access_keys), settings.api_token or None)
    return None if access.open and settings.api_clients == "known" else access
