"""The gateway's own answers: problem details (RFC 9457) that carry the code and the request id."""

from __future__ import annotations

import json
from http import HTTPStatus

from aiohttp import web

from torpor.gateway.dataplane.base import Refused
from torpor.resources.names import HEADER_REQUEST_ID

_CONTENT_TYPE = "application/problem+json"

TARGET_TOO_LONG = Refused(414, "uri-too-long", "the request's target is longer than 15,359 bytes")
HEADERS_TOO_LARGE = Refused(
    431, "headers-too-large", "a request's head is at most 15,360 bytes in at most 101 headers"
)
HEAD_TIMEOUT = Refused(408, "bad-request", "the request's head did not come in time")
NO_PATH = Refused(400, "bad-request", "the request's target is not a path")
INTERNAL = Refused(500, "internal", "the gateway could not handle the request")
NOT_FOUND = Refused(404, "unknown-function", "no function has this address")
NOT_ALLOWED = Refused(405, "method-not-allowed", "this address does not take the method")
OVER_RESERVED = Refused(
    429,
    "reserved-concurrency",
    "the function has as many requests as reservedConcurrency allows",
    1,
)
BROKEN = Refused(502, "bad-gateway", "the function broke the connection before it answered")
ANSWER_TOO_LARGE = Refused(
    502, "bad-gateway", "the head of the function's answer is beyond 15,360 bytes or 101 headers"
)
NO_WEBSOCKET = Refused(502, "bad-gateway", "the function answered, but with no WebSocket")
UNREACHABLE = Refused(503, "unreachable", "no instance of the function takes connections", 1)
QUEUE_TIMEOUT = Refused(503, "queue-timeout", "no instance had a free place in time", 1)
TIMEOUT = Refused(504, "timeout", "the function did not answer within its timeoutSeconds")


def problem(refused: Refused, request_id: str) -> web.Response:
    """Return the answer that tells the client why."""
    headers = {HEADER_REQUEST_ID: request_id}
    if refused.retry_after_seconds is not None:
        headers["Retry-After"] = str(refused.retry_after_seconds)
    return web.Response(
        status=refused.status,
        headers=headers,
        text=_body(refused, request_id),
        content_type=_CONTENT_TYPE,
    )


def last_words(refused: Refused, request_id: str) -> bytes:
    """Return the whole answer to what never became a request; the connection ends after it."""
    body = _body(refused, request_id)
    head = (
        f"HTTP/1.1 {refused.status} {HTTPStatus(refused.status).phrase}",
        f"Content-Type: {_CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        f"{HEADER_REQUEST_ID}: {request_id}",
        "Connection: close",
    )
    return "\r\n".join([*head, "", body]).encode("ascii")


def bad_request(why: str) -> Refused:
    """Return the refusal of what is not a request; of `why`, only the first line is told."""
    return Refused(400, "bad-request", f"not an HTTP request: {_first_line(why)}")


def bad_answer(why: str) -> Refused:
    """Return what is told of a function whose answer is none; `why` as in `bad_request`."""
    return Refused(502, "bad-gateway", f"the function's answer is not HTTP: {_first_line(why)}")


def _first_line(text: str) -> str:
    return (text.splitlines() or [""])[0].rstrip(" :.")


def _body(refused: Refused, request_id: str) -> str:
    body = {
        "type": f"https://torpor.dev/problems/{refused.code}",
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "code": refused.code,
        "detail": refused.detail,
        "requestId": request_id,
    }
    return json.dumps(body) + "\n"
