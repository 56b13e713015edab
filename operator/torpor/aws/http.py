"""AWS's JSON protocols over HTTP: the body of a call in, its answer or refusal out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from torpor.aws.errors import Refused
from torpor.aws.sigv4 import Signed

RETRY_AFTER_SECONDS = 1
DEFECT = Refused(
    "InternalFailure",
    "The request could not be processed because of an unexpected failure.",
    HTTPStatus.INTERNAL_SERVER_ERROR,
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between services: the protocol's version, and what qualifies own errors."""

    content_type: str
    model: str

    def response(
        self, body: Mapping[str, Any], request_id: str, status: int = HTTPStatus.OK
    ) -> web.Response:
        """Return the answer to a call."""
        return web.Response(
            status=status,
            body=orjson.dumps(body),
            headers={"x-amzn-RequestId": request_id, "Content-Type": self.content_type},
        )

    def refusal(self, refused: Refused, request_id: str) -> web.Response:
        """Return the answer to a call that is not done."""
        body = {"__type": refused.type_within(self.model), "message": refused.message}
        response = self.response(body, request_id, refused.status)
        response.headers["x-amzn-ErrorType"] = refused.code
        if refused.query_code:
            fault = "Sender" if refused.status < HTTPStatus.INTERNAL_SERVER_ERROR else "Receiver"
            response.headers["x-amzn-query-error"] = f"{refused.query_code};{fault}"
        if refused.status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return response


async def read_body(request: web.Request, seconds: float) -> bytes:
    """Return the body; refuses one that is too long for the server, or slower than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError:
        message = f"The request did not arrive within {seconds:g} s"
        raise Refused("RequestTimeoutException", message, HTTPStatus.REQUEST_TIMEOUT) from None
    except web.HTTPRequestEntityTooLarge:
        message = "The request is longer than this installation takes"
        raise Refused(
            "RequestEntityTooLargeException", message, HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        ) from None


async def read_plain_body(request: web.Request, seconds: float) -> bytes:
    """Return the body as it was sent, which is what is signed; refuses one that is encoded too."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        message = f"A body with the Content-Encoding '{encoding}' is not taken: send it as it is"
        raise Refused("SerializationException", message)
    return await read_body(request, seconds)


def signed(request: web.Request, body: bytes) -> Signed:
    """Return what of a request is signed."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    url = request.rel_url
    return Signed(request.method, url.raw_path, url.raw_query_string, headers, body)


def parsed(body: bytes) -> Any:
    """Return the request's JSON; refuses what is none."""
    try:
        return orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as wrong:
        raise Refused("SerializationException", f"The request is not JSON: {wrong}") from None
