"""How much of requests' bodies is in memory at once: beyond it, large ones are sent back."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from torpor.aws.errors import Refused

SMALL_BYTES = 64 * 1024
"""Bodies up to this are not counted: a connection costs as much."""


def bounded(most_bytes: int, longest_body_bytes: int) -> Middleware:
    """Return what lets requests in while their bodies, counted together, fit into `most_bytes`.

    A body whose length is not told counts as the longest that is taken. What does not fit is
    answered with 503 and Retry-After, at once.
    """
    in_hand = 0

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal in_hand
        size = _size(request, longest_body_bytes)
        if in_hand and in_hand + size > most_bytes:
            text = "too many large requests are being read: send it again"
            raise Refused("Busy", text, HTTPStatus.SERVICE_UNAVAILABLE)
        in_hand += size
        try:
            return await handler(request)
        finally:
            in_hand -= size

    return admit


def _size(request: web.Request, longest_bytes: int) -> int:
    if not request.can_read_body:
        return 0
    told = request.content_length
    size = longest_bytes if told is None else min(told, longest_bytes)
    return size if size > SMALL_BYTES else 0
