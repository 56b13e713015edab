"""A gateway as the person at the terminal reaches it: by its URL, or through the API server."""

from __future__ import annotations

import argparse
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

import aiohttp

from torpor.cli import cluster
from torpor.cli.cluster import Request
from torpor.errors import TorporError
from torpor.gateway.routes import PATH_PREFIX
from torpor.resources.names import FunctionKey

SERVICE = "torpor-gateway:http"
_HOST_AND_PORT = re.compile(r"([^/:@\s]+|\[[0-9a-fA-F:.]+\]):[0-9]+/?")

Exchange = Callable[[Request], AbstractAsyncContextManager[aiohttp.ClientResponse]]


class NoGateway(TorporError):
    """There is no gateway where it was looked for, or nobody said where one is."""

    code = "no-gateway"


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateways behind one address; `base` stands before the path of every request."""

    base: str
    exchange: Exchange

    def send(self, request: Request) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a request whose `url` is a path at the gateway."""
        return self.exchange(replace(request, url=self.base + request.url))


@asynccontextmanager
async def connect(args: argparse.Namespace) -> AsyncIterator[Gateway]:
    """Open a session with the gateway of --gateway, else with the cluster's."""
    if not args.gateway:
        async with cluster.connect(args) as api:
            yield Gateway(service_path(args.torpor_namespace), api.stream)
        return
    base = url_of(args.gateway)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Gateway(base, lambda request: cluster.exchange(session, request, args.gateway))


def service_path(namespace: str) -> str:
    """Return the API server's path to the gateways in Torpor's namespace."""
    return f"/api/v1/namespaces/{namespace}/services/{SERVICE}/proxy"


def url_of(gateway: str) -> str:
    """Return what --gateway means as a URL without a slash at its end."""
    return f"{'http://' if _HOST_AND_PORT.fullmatch(gateway) else ''}{gateway}".rstrip("/")


def function_path(key: FunctionKey, path: str) -> str:
    """Return where a gateway serves a function's path."""
    return f"{PATH_PREFIX}{key}{path}"
