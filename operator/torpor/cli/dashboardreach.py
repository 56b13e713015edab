"""The dashboard as the person at the terminal reaches it: by its URL, or through the API server.

With TORPOR_DASHBOARD, as `torpor dev` prints it, it is asked directly. On a cluster it asks for the
installation's token: TORPOR_DASHBOARD_TOKEN, or what follows from the Secret torpor-internal.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

import aiohttp

from torpor.cli import cluster
from torpor.cli.cluster import ANSWER_SECONDS, Request
from torpor.cli.gatewayreach import Exchange, url_of
from torpor.cli.internaltoken import token_of
from torpor.dashboard.guard import PAGE_HEADER
from torpor.errors import TorporError
from torpor.resources.tokens import TOKEN_HEADER

TOKEN_VARIABLE = "TORPOR_DASHBOARD_TOKEN"  # noqa: S105 - the name of a variable
SERVICE = "torpor-dashboard:http"


class NoDashboard(TorporError):
    """There is no dashboard where it was looked for; the message says how to have one."""

    code = "no-dashboard"


class DashboardRefused(TorporError):
    """The dashboard's answer to what it did not do."""

    code = "dashboard-refused"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; `base` stands before the path of every request, `headers` come with it."""

    base: str
    exchange: Exchange
    headers: Mapping[str, str] = field(repr=False)
    namespace: str = ""
    """Torpor's on a cluster, empty for `torpor dev`."""

    def send(self, request: Request) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a request whose `url` is a path at the dashboard."""
        headers = {**request.headers, **self.headers}
        return self.exchange(replace(request, url=self.base + request.url, headers=headers))

    async def get(self, path: str) -> Any:
        """Return the JSON at a path such as `/api/traces`; NoDashboard or DashboardRefused."""
        return await self._call(Request("GET", path, {}, None, ANSWER_SECONDS))

    async def post(self, path: str, body: Any = None) -> Any:
        """Return the JSON answer to what changes something."""
        headers = {"Content-Type": "application/json", PAGE_HEADER: "torpor"}
        content = json.dumps(body).encode()
        return await self._call(Request("POST", path, headers, content, ANSWER_SECONDS))

    async def _call(self, request: Request) -> Any:
        async with self.send(request) as answer:
            content = await answer.read()
        told = _json(content)
        if answer.status < HTTPStatus.BAD_REQUEST:
            return told
        raise self.refusal(answer.status, told)

    def refusal(self, status: int, told: Any) -> TorporError:
        """Return the error that an answer of this status and JSON is."""
        body = told if isinstance(told, dict) else {}
        if body.get("kind") == "Status":  # the API server's own
            return NoDashboard(_missing(self.namespace, str(body.get("message"))))
        return DashboardRefused(str(body.get("detail") or f"status {status}"))


@asynccontextmanager
async def connect(args: argparse.Namespace) -> AsyncIterator[Dashboard]:
    """Open the dashboard of --dashboard, else the cluster's."""
    if args.dashboard:
        url = url_of(str(args.dashboard))
        whom = f"the dashboard at {url}; does torpor dev run, and is that what it printed?"
        given = os.environ.get(TOKEN_VARIABLE)
        async with aiohttp.ClientSession() as session:
            yield Dashboard(
                url,
                lambda request: cluster.exchange(session, request, whom),
                {TOKEN_HEADER: given} if given else {},
            )
        return
    async with cluster.connect(args) as api:
        namespace = str(args.torpor_namespace)
        token = os.environ.get(TOKEN_VARIABLE) or await token_of(api, namespace, TOKEN_VARIABLE)
        base = f"/api/v1/namespaces/{namespace}/services/{SERVICE}/proxy"
        yield Dashboard(base, api.stream, {TOKEN_HEADER: token}, namespace)


def _missing(namespace: str, why: str) -> str:
    return (
        f"the dashboard in {namespace} (--torpor-namespace) cannot be reached: {why}; is the chart "
        "installed with dashboard.enabled=true? Where a policy stands in the way: "
        f"kubectl port-forward -n {namespace} svc/torpor-dashboard 8300:http, then "
        f"--dashboard http://127.0.0.1:8300 and {TOKEN_VARIABLE}. For torpor dev set "
        "TORPOR_DASHBOARD as it prints it"
    )


def _json(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None
