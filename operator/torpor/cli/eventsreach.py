"""The events role as the person at the terminal reaches it: its public and its internal API.

With TORPOR_EVENTS, as `torpor dev` prints it, the role is asked directly (its internal API where
that run says, or at TORPOR_EVENTS_ADMIN); else the way is through the cluster's API server to its
Service, so that nothing is exposed. The internal API asks for the installation's token:
TORPOR_EVENTS_TOKEN, or what follows from the Secret torpor-internal, which the person must be
allowed to read. Where the public API takes only known clients, TORPOR_EVENTS_API_TOKEN is the
token that it takes.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp

from torpor.cli import cluster
from torpor.cli.cluster import ANSWER_SECONDS, Request
from torpor.cli.internaltoken import token_of
from torpor.cli.options import EVENTS_VARIABLE
from torpor.dev.events_note import EventsNote, found
from torpor.dev.state import base
from torpor.errors import TorporError
from torpor.platform.kubernetes.config import NoCluster
from torpor.resources.tokens import TOKEN_HEADER

TOKEN_VARIABLE = "TORPOR_EVENTS_TOKEN"  # noqa: S105 - the name of a variable
API_TOKEN_VARIABLE = "TORPOR_EVENTS_API_TOKEN"  # noqa: S105
_SERVICE = "torpor-events"

Send = Callable[[str, str, Mapping[str, str], bytes], Awaitable[tuple[int, bytes]]]
"""Sends method, path, headers and body; gives the status and the answer's body."""


class EventsRefused(TorporError):
    """The events role's answer to what it did not do.

    `reason` is AWS's code of it, empty where the API that was asked tells none.
    """

    code = "events-refused"

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class NoEvents(TorporError):
    """The events role cannot be reached, or not with what this person may do."""

    code = "no-events-role"


@dataclass(frozen=True, slots=True)
class Events:
    """One of the role's two APIs."""

    send: Send

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the JSON answer to a request with a JSON body, None where there is none."""
        content = b"" if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json", **(headers or {})}
        return _json(_accepted(*await self.send(method, path, given, content)))

    async def content(self, path: str) -> bytes:
        """Return the bytes that a GET gives."""
        return _accepted(*await self.send("GET", path, {}, b""))


@asynccontextmanager
async def public(args: argparse.Namespace) -> AsyncIterator[Events]:
    """Open the API where events are published."""
    token = os.environ.get(API_TOKEN_VARIABLE)
    proof = {TOKEN_HEADER: token} if token else {}
    if args.endpoint:
        async with aiohttp.ClientSession() as session:
            yield Events(_direct(session, str(args.endpoint), proof))
        return
    async with through_cluster(args) as api:
        yield Events(_through(api, str(args.torpor_namespace), "api", proof))


@asynccontextmanager
async def internal(args: argparse.Namespace) -> AsyncIterator[Events]:
    """Open the API where Triggers, dead letters and replays are."""
    known = direct(args)
    if known:
        async with aiohttp.ClientSession() as session:
            yield Events(_direct(session, known.admin, {TOKEN_HEADER: known.token}))
        return
    async with through_cluster(args) as api:
        namespace = str(args.torpor_namespace)
        token = os.environ.get(TOKEN_VARIABLE) or await token_of(api, namespace, TOKEN_VARIABLE)
        yield Events(_through(api, namespace, "internal", {TOKEN_HEADER: token}))


@asynccontextmanager
async def through_cluster(args: argparse.Namespace) -> AsyncIterator[cluster.Cluster]:
    """Open the cluster; where there is none NoCluster, or NoEvents if an events API was named."""
    try:
        async with cluster.connect(args) as api:
            yield api
    except NoCluster as error:
        if not args.endpoint:
            raise
        raise NoEvents(
            f"no `torpor dev` left word of {args.endpoint} in {base()}, and there is no cluster "
            "either: start it, set XDG_STATE_HOME as it has it, or name its internal API "
            f"with --admin and {TOKEN_VARIABLE}"
        ) from error


def direct(args: argparse.Namespace) -> EventsNote | None:
    """Return where the internal API is asked directly, and its token; None: through a cluster.

    Of an events API of `torpor dev` its run has left word.
    """
    note = found(args.endpoint)
    if not args.admin and note is None:
        return None
    token = os.environ.get(TOKEN_VARIABLE) or (note.token if note else "")
    return EventsNote(str(args.admin or (note and note.admin)), token)


def _direct(session: aiohttp.ClientSession, endpoint: str, proof: Mapping[str, str]) -> Send:
    url = (endpoint if "://" in endpoint else f"http://{endpoint}").rstrip("/")

    async def send(
        method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        request = Request(method, url + path, {**headers, **proof}, body, ANSWER_SECONDS)
        async with cluster.exchange(session, request, f"the events role at {url}") as answer:
            return answer.status, await answer.read()

    return send


def _through(api: cluster.Cluster, namespace: str, port: str, proof: Mapping[str, str]) -> Send:
    prefix = f"/api/v1/namespaces/{namespace}/services/{_SERVICE}:{port}/proxy"

    async def send(
        method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        request = Request(method, prefix + path, {**headers, **proof}, body, ANSWER_SECONDS)
        async with api.stream(request) as answer:
            content = await answer.read()
        told = _json(content)
        if answer.status >= 400 and isinstance(told, dict) and told.get("kind") == "Status":
            raise NoEvents(
                f"the events role in {namespace} (--torpor-namespace) cannot be reached: "
                f"{told.get('message')}; is the chart installed with events.enabled=true? "
                "Where a policy stands in the way: "
                f"kubectl port-forward -n {namespace} svc/{_SERVICE} 8200:api 8090:internal, "
                "--endpoint http://127.0.0.1:8200 and --admin http://127.0.0.1:8090. "
                f"For torpor dev set {EVENTS_VARIABLE} as it prints it"
            )
        return answer.status, content

    return send


def _accepted(status: int, answer: bytes) -> bytes:
    """Return the answer to what was done; EventsRefused otherwise."""
    if status < 400:
        return answer
    value = _json(answer)
    told = value if isinstance(value, dict) else {}
    text = told.get("detail") or told.get("message") or answer.decode(errors="replace")
    hint = f"; set {API_TOKEN_VARIABLE}" if status == HTTPStatus.UNAUTHORIZED else ""
    reason = str(told.get("__type") or "").rpartition("#")[2]
    raise EventsRefused((str(text)[:2000] or f"status {status}") + hint, reason)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None
