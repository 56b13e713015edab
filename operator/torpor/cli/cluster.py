"""The cluster as the person at the terminal reaches it: kubeconfig, one session, plain errors.

Nothing is retried: a person sees what is wrong sooner than a retry would mend it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp

from torpor.errors import ApiNotFound, TorporError
from torpor.platform.kubernetes import config
from torpor.platform.kubernetes.resources import FUNCTIONS
from torpor.platform.kubernetes.transport import error_of
from torpor.resources.names import FunctionKey

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0


class Unreachable(TorporError):
    """Nothing answers at an address; the message says what to check."""

    code = "unreachable"


class NoSuchFunction(TorporError):
    """The cluster has no Function of that name, or no Functions at all."""

    code = "no-such-function"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request whose answer is streamed; `seconds` None: it may take forever."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    seconds: float | None = None


class Cluster:
    """One API server and who we are to it."""

    def __init__(self, access: config.Access, session: aiohttp.ClientSession) -> None:
        self._access = access
        self._session = session

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return an object or a list; an ApiError says why not."""
        query = f"?{urlencode(params)}" if params else ""
        return await self.call("GET", path + query)

    async def call(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """Return the JSON answer to a request with a JSON body; an ApiError says why not."""
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": content_type}
        request = Request(method, path, headers, data, ANSWER_SECONDS)
        async with self.stream(request) as answer:
            content = await answer.read()
            if answer.status >= 300:
                raise error_of(answer.status, content)
            found: dict[str, Any] = json.loads(content)
            return found

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request to a path of the API server, as ourselves."""
        headers = {**request.headers, **self._access.credentials.headers()}
        url = self._access.server + request.url
        signed = Request(request.method, url, headers, request.body, request.seconds)
        async with exchange(self._session, signed, "the cluster; check KUBECONFIG") as answer:
            yield answer

    async def function(self, key: FunctionKey) -> dict[str, Any]:
        """Return a Function's object; NoSuchFunction says how to find those there are."""
        try:
            return await self.get(FUNCTIONS.path(key.namespace, key.name))
        except ApiNotFound:
            text = f"there is no Function {key}; `torpor fn list -A` shows those there are"
            raise NoSuchFunction(text) from None

    async def functions(self, namespace: str) -> list[dict[str, Any]]:
        """Return the Functions of a namespace ("": of all), by name."""
        try:
            items = (await self.get(FUNCTIONS.path(namespace)))["items"]
        except ApiNotFound:
            text = "this cluster knows no Functions: install the chart torpor-crds"
            raise NoSuchFunction(text) from None
        return sorted(items, key=lambda o: (o["metadata"]["namespace"], o["metadata"]["name"]))


@asynccontextmanager
async def connect(arguments: argparse.Namespace) -> AsyncIterator[Cluster]:
    """Open a session with the cluster that the options name; NoCluster if there is none."""
    if arguments.kubeconfig or arguments.context:
        access = config.from_kubeconfig(arguments.kubeconfig, arguments.context)
    else:
        access = _find_access()
    connector = aiohttp.TCPConnector(ssl=access.tls or True, limit=0)  # callers bound themselves
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Cluster(access, session)


def _find_access() -> config.Access:
    try:
        return config.find_access()
    except config.NoCluster as error:
        dev = "`torpor dev` is none: look at what it prints, or use `torpor invoke --gateway`"
        raise config.NoCluster(f"needs a cluster, and {dev} ({error})") from error


@asynccontextmanager
async def exchange(
    session: aiohttp.ClientSession, request: Request, whom: str
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send a request and give its answer; Unreachable names `whom` when there is none."""
    timeout = aiohttp.ClientTimeout(total=request.seconds, sock_connect=CONNECT_SECONDS)
    try:
        async with session.request(
            request.method,
            request.url,
            headers=request.headers,
            data=request.body,
            timeout=timeout,
            allow_redirects=False,
        ) as answer:
            yield answer
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise Unreachable(f"{request.url!r} is no URL; write http://host:port") from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unreachable(f"no answer from {whom}: {_why(error, request)}") from error


def _why(error: Exception, request: Request) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        plain = os.strerror(number) if number and number > 0 else error.os_error.strerror
        return f"{error.host}:{error.port}: {plain}"
    return str(error) or f"not within {request.seconds:g} s"


def key_of(arguments: argparse.Namespace) -> FunctionKey:
    """Return the function that NAME, or NAMESPACE/NAME, and the options mean."""
    namespace, _, name = arguments.name.rpartition("/")
    return FunctionKey(namespace or namespace_of(arguments), name)


def namespace_of(arguments: argparse.Namespace) -> str:
    """Return the namespace of the options, else of the kubeconfig's context or of our pod."""
    if arguments.namespace:
        return str(arguments.namespace)
    own = config.SERVICE_ACCOUNT / "namespace"
    return own.read_text(encoding="utf-8") if own.exists() else _of_context(arguments)


def _of_context(arguments: argparse.Namespace) -> str:
    """Return the context's namespace, or `default` where no kubeconfig can be read.

    A command that needs the kubeconfig fails on its own and says why; one with --gateway does not.
    """
    try:
        from kubernetes import config as kubeconfig
    except ImportError:
        return "default"
    found: Any = kubeconfig
    try:
        contexts, current = found.list_kube_config_contexts(arguments.kubeconfig)
    except kubeconfig.ConfigException:
        return "default"
    chosen = next((c for c in contexts if c["name"] == arguments.context), current)
    return str(chosen["context"].get("namespace") or "default")
