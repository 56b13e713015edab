"""`http:invoke`: one HTTP request, with the credentials of a Connection.

Limits against server-side request forgery: only http and https; no redirect is followed; the host's
addresses are resolved here and held against the installation's `Reach`, each connection going to an
address that was checked; answers are cut at 1 MiB.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from torpor.workflows.asl.events import Input
from torpor.workflows.asl.payload import json_text
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.integrations.outcomes import arguments, failed, succeeded
from torpor.workflows.engine.integrations.reach import Reach, Refused

LONGEST_SECONDS = 60.0
"""AWS's limit for one HTTP task."""
MOST_BYTES = 1_048_576
PUBLIC = Reach()


class Connections(Protocol):
    """Where the credentials of HTTP tasks are kept."""

    async def headers(self, namespace: str, connection: str) -> Mapping[str, str]:
        """The headers that a Connection adds; raises LookupError when there is none."""


class NoConnections:
    """For installations without Connections."""

    async def headers(self, namespace: str, connection: str) -> Mapping[str, str]:
        """There is none."""
        raise LookupError(f"there is no Connection {connection!r} in {namespace}")


class _Resolver(AbstractResolver):
    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._inner = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        for result in found:
            address = ipaddress.ip_address(result["host"].split("%", 1)[0])
            self._reach.check(host, address)
        return found

    async def close(self) -> None:
        await self._inner.close()


def _check_literal(host: str, reach: Reach) -> None:
    """Check a host that is an address: nobody resolves it."""
    try:
        address = ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        # The resolver is asked about every other host, but not about what looks like an address:
        # `2130706433` would be connected to unchecked.
        if ":" in host or host.replace(".", "").isdigit():
            raise Refused(f"{host} is not an address in its usual form") from None
        return
    reach.check(host, address)


class Http:
    """Does `http:invoke` tasks."""

    def __init__(self, connections: Connections | None = None, reach: Reach = PUBLIC) -> None:
        self._connections = connections or NoConnections()
        self._reach = reach

    async def run(self, job: Job) -> Input | None:
        """Send the request; a status of 400 and above fails the task."""
        given = arguments(job)
        try:
            url, headers, body = await self._request(job, given)
        except Refused as error:
            return failed(job, "States.Http.Socket", str(error))
        except (LookupError, ValueError) as error:
            return failed(job, "States.Runtime", str(error))
        seconds = min(job.dispatch.timeout or LONGEST_SECONDS, LONGEST_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                return await self._send(job, str(given.get("Method", "GET")), url, headers, body)
        except TimeoutError:
            return failed(job, "States.Http.Socket", f"no answer within {seconds:g} s")
        except (ClientError, OSError) as error:
            return failed(job, "States.Http.Socket", str(error))

    async def _request(
        self, job: Job, given: Mapping[str, Any]
    ) -> tuple[URL, dict[str, str], bytes | None]:
        # What is checked is what aiohttp will connect to: the host as yarl normalises it.
        url = URL(str(given.get("ApiEndpoint", "")))
        if url.scheme not in ("http", "https") or not url.raw_host:
            raise ValueError(f"ApiEndpoint must be an http or https URL, not {str(url)!r}")
        _check_literal(url.raw_host, self._reach)
        query = given.get("QueryParameters")
        if query:
            url = url.extend_query(urlencode(query, doseq=True))
        headers = {str(k): str(v) for k, v in (given.get("Headers") or {}).items()}
        connection = _connection(given)
        if connection:
            namespace = job.machine.options.namespace
            headers.update(await self._connections.headers(namespace, connection))
        headers.setdefault("Idempotency-Key", job.key)
        return url, headers, _body(given, headers)

    async def _send(
        self, job: Job, method: str, url: URL, headers: dict[str, str], body: bytes | None
    ) -> Input:
        connector = TCPConnector(resolver=_Resolver(self._reach), use_dns_cache=False)
        async with (
            ClientSession(
                connector=connector,
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=None),
            ) as session,
            session.request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as answer,
        ):
            content = await answer.content.read(MOST_BYTES + 1)
            while len(content) <= MOST_BYTES and not answer.content.at_eof():
                content += await answer.content.read(MOST_BYTES + 1 - len(content))
            if len(content) > MOST_BYTES:
                return failed(job, "States.DataLimitExceeded", f"more than {MOST_BYTES} bytes")
            result = {
                "Headers": {name: answer.headers.getall(name) for name in set(answer.headers)},
                "ResponseBody": _parsed(content, answer.headers.get("Content-Type", "")),
                "StatusCode": answer.status,
                "StatusText": answer.reason or "",
            }
            if answer.status >= 400:
                error = f"States.Http.StatusCode.{answer.status}"
                return failed(job, error, json_text(result))
            return succeeded(job, result)


def _connection(given: Mapping[str, Any]) -> str:
    config = given.get("InvocationConfig") or given.get("Authentication") or {}
    return str(config.get("ConnectionArn", "")).split("connection/")[-1].split("/")[0]


def _body(given: Mapping[str, Any], headers: dict[str, str]) -> bytes | None:
    body = given.get("RequestBody")
    if body is None:
        return None
    transform = given.get("Transform") or {}
    if transform.get("RequestBodyEncoding") == "URL_ENCODED":
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        return urlencode(body, doseq=True).encode()
    if isinstance(body, str):
        headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        return body.encode()
    headers.setdefault("Content-Type", "application/json")
    return json_text(body).encode()


def _parsed(content: bytes, kind: str) -> Any:
    text = content.decode(errors="replace")
    if "json" not in kind:
        return text
    try:
        return orjson.loads(text)
    except ValueError:
        return text
