"""`http:invoke`: one HTTP request, with the credentials of a connection.

Limits against server-side request forgery: only http and https; no redirect is followed; the host's
addresses are resolved here and held against the installation's `Reach`, each connection going to an
address that was checked; an answer of more than 1 MiB fails the task with States.DataLimitExceeded.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import (
    ClientError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from torpor.expressions.values import json_text
from torpor.workflows.asl.events import Input
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.integrations.connection_files import ConnectionFiles
from torpor.workflows.engine.integrations.connections import Connection, ConnectionProblem
from torpor.workflows.engine.integrations.http_call import Call, header_text, read_call
from torpor.workflows.engine.integrations.http_tokens import AccessTokens, Owner
from torpor.workflows.engine.integrations.outcomes import arguments, failed, succeeded
from torpor.workflows.engine.integrations.reach import Reach, Refused
from torpor.workflows.engine.world import Clock, WallClock

LONGEST_SECONDS = 60.0
"""AWS's limit for one HTTP task."""
MOST_BYTES = 1_048_576
PUBLIC = Reach()
NO_CONNECTIONS = ConnectionFiles()
_REFUSED_TOKEN = (401, 407)


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


class TooLong(Exception):
    """An answer of more than MOST_BYTES."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered."""

    status: int
    reason: str
    headers: Mapping[str, list[str]]
    body: Any

    def shown(self, protocol: str) -> dict[str, str]:
        """Return the members of `inspectionData.response`."""
        fields = [(name, value) for name, values in self.headers.items() for value in values]
        return {
            "protocol": protocol,
            "statusCode": str(self.status),
            "statusMessage": self.reason,
            "headers": header_text(fields),
            "body": self.body if isinstance(self.body, str) else json_text(self.body),
        }

    @property
    def result(self) -> dict[str, Any]:
        """The task's result, or the Cause of its error."""
        return {
            "Headers": dict(self.headers),
            "ResponseBody": self.body,
            "StatusCode": self.status,
            "StatusText": self.reason,
        }


class Http:
    """Does `http:invoke` tasks."""

    def __init__(
        self,
        connections: ConnectionFiles = NO_CONNECTIONS,
        reach: Reach = PUBLIC,
        clock: Clock | None = None,
    ) -> None:
        self._connections = connections
        self._reach = reach
        self._tokens = AccessTokens(clock or WallClock())

    async def run(self, job: Job) -> Input | None:
        """Send the request; a status of 400 and above fails the task."""
        seconds = min(job.dispatch.timeout or LONGEST_SECONDS, LONGEST_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                return _outcome(job, await self._answer(job))
        except ConnectionProblem as error:
            return failed(job, error.error, str(error))
        except TooLong:
            return failed(job, "States.DataLimitExceeded", f"more than {MOST_BYTES} bytes")
        except TimeoutError:
            return failed(job, "States.Http.Socket", f"no answer within {seconds:g} s")
        except (ClientError, OSError) as error:
            return failed(job, "States.Http.Socket", _told(error))
        except ValueError as error:
            return failed(job, "States.Runtime", str(error))

    async def _answer(self, job: Job) -> Answer:
        call = read_call(arguments(job), job.key)
        if job.observer is None:
            return await self._called(job, call)
        job.observer.sent(call.shown())
        answer = await self._called(job, call)
        job.observer.got(answer.shown(call.url.scheme))
        return answer

    async def _called(self, job: Job, call: Call) -> Answer:
        host = call.url.raw_host
        assert host is not None, "a call has a host"
        # What is checked is what aiohttp will connect to: the host as yarl normalises it.
        _check_literal(host, self._reach)
        if call.connection is None:
            return await self._send(call)
        owner = (job.machine.options.namespace, call.connection)
        connection = await self._connections.find(*owner)
        connection.check(host)
        return await self._send_as(owner, connection, call)

    async def _send_as(self, owner: Owner, connection: Connection, call: Call) -> Answer:
        """Send with credentials; an access token that is refused is replaced once."""
        added, oauth = connection.parameters, connection.oauth
        if oauth is None:
            return await self._send(call.joined(added))
        token = await self._tokens.get(owner, oauth)
        answer = await self._send(call.joined(added.with_header("Authorization", _bearer(token))))
        if answer.status not in _REFUSED_TOKEN:
            return answer
        token = await self._tokens.get(owner, oauth, refused=token)
        return await self._send(call.joined(added.with_header("Authorization", _bearer(token))))

    async def _send(self, call: Call) -> Answer:
        headers, body = call.encoded()
        connector = TCPConnector(resolver=_Resolver(self._reach), use_dns_cache=False)
        async with (
            ClientSession(
                connector=connector,
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=None),
            ) as session,
            session.request(
                call.method, call.url, headers=headers, data=body, allow_redirects=False
            ) as answer,
        ):
            return await _read(answer)


async def _read(answer: ClientResponse) -> Answer:
    content = await answer.content.read(MOST_BYTES + 1)
    while len(content) <= MOST_BYTES and not answer.content.at_eof():
        content += await answer.content.read(MOST_BYTES + 1 - len(content))
    if len(content) > MOST_BYTES:
        raise TooLong
    return Answer(
        answer.status,
        answer.reason or "",
        {name: answer.headers.getall(name) for name in set(answer.headers)},
        _parsed(content, answer.headers.get("Content-Type", "")),
    )


def _outcome(job: Job, answer: Answer) -> Input:
    if answer.status >= 400:
        error = f"States.Http.StatusCode.{answer.status}"
        return failed(job, error, json_text(answer.result))
    return succeeded(job, answer.result)


def _bearer(token: str) -> str:
    return f"Bearer {token}"


def _told(error: Exception) -> str:
    """What an error says, without the URL: a connection may have put a secret into its query."""
    return error.message if isinstance(error, ClientResponseError) else str(error)


def _parsed(content: bytes, kind: str) -> Any:
    text = content.decode(errors="replace")
    if "json" not in kind:
        return text
    try:
        return orjson.loads(text)
    except ValueError:
        return text
