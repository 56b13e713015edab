"""Failures as problem details (RFC 9457), as every API of Torpor's own roles tells them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from torpor.dashboard.sources import Away, NotPossible, NotThere
from torpor.dashboard.stream import TooManyReaders
from torpor.errors import TorporError
from torpor.resources.problem import problem_details

_CONTENT_TYPE = "application/problem+json"
_RETRY_AFTER_SECONDS = 2
_STATUSES: Mapping[type[TorporError], HTTPStatus] = {
    Away: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyReaders: HTTPStatus.SERVICE_UNAVAILABLE,
    NotThere: HTTPStatus.NOT_FOUND,
    NotPossible: HTTPStatus.BAD_REQUEST,
}


def problem(status: HTTPStatus, code: str, detail: str) -> web.Response:
    """Return an answer with a problem."""
    body = orjson.dumps(problem_details(status, code, detail))
    response = web.Response(status=status, body=body, content_type=_CONTENT_TYPE)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    return response


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what a handler raised."""
    try:
        return await handler(request)
    except tuple(_STATUSES) as error:
        return problem(_STATUSES[type(error)], error.code, str(error))
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        status = HTTPStatus(error.status)
        return problem(status, _word(status), error.text or error.reason)


def _word(status: HTTPStatus) -> str:
    return status.phrase.lower().replace(" ", "-")
