"""Who may use a dashboard: pages of its own origin on this machine, or who shows the token.

On this machine a name that was rebound to loopback is refused by its Host, a page of another origin
by its Origin, and a form that anybody's page can send by the header that it cannot (OWASP,
"Cross-Site Request Forgery Prevention", custom request headers). On a cluster, where the way is
through the API server, the installation's internal token stands for all of that.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from torpor.dashboard.problems import problem
from torpor.resources.tokens import TOKEN_HEADER, matches

PAGE_HEADER: Final = "X-Torpor-Dashboard"
"""A request that changes something has it, with any value."""
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_READING = frozenset({"GET", "HEAD"})
_OTLP_PREFIX = "/v1/"
"""Programs send spans there, not pages; a browser asks before it sends what they send."""


async def set_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Have every answer say what browsers may do with it; a signal of the application."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def on_this_machine() -> Middleware:
    """Let in what comes to a name of loopback, and of pages only its own."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if not is_loopback(host):
            text = f"the Host {host[:100]!r} is not this machine: write 127.0.0.1 or localhost"
            return problem(HTTPStatus.FORBIDDEN, "wrong-host", text)
        if refusal := _refusal(request, host):
            return problem(HTTPStatus.FORBIDDEN, "wrong-origin", refusal)
        return await handler(request)

    return guard


def with_token(token: str) -> Middleware:
    """Let in who shows the token."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not matches(token, request.headers.get(TOKEN_HEADER, "")):
            text = f"the internal token is missing in {TOKEN_HEADER}: use `torpor dashboard`"
            return problem(HTTPStatus.FORBIDDEN, "forbidden", text)
        return await handler(request)

    return guard


def is_loopback(host: str) -> bool:
    """Return whether a Host header names this machine, as no name of somebody's domain does."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, section 6.3
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _refusal(request: web.Request, host: str) -> str:
    """Why this is not of our page; empty if it may be."""
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        return f"a page of {origin[:100]!r} may not use this dashboard"
    if request.method in _READING or request.path.startswith(_OTLP_PREFIX):
        return ""
    if PAGE_HEADER not in request.headers:
        return f"what changes something needs the header {PAGE_HEADER}"
    return ""
