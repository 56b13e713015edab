"""Failures as problem details (RFC 9457), with a `code` and what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from torpor.aws.errors import Refused
from torpor.errors import TorporError
from torpor.telemetry.metrics import EVENTS_REFUSED
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker.errors import BrokerFull, BrokerRefused
from torpor.triggers.broker.names import InvalidName
from torpor.triggers.broker.objects import ObjectTooLarge
from torpor.triggers.broker.publishing import MessageTooLarge
from torpor.triggers.event import MalformedEvent
from torpor.triggers.repeats import OtherRequest

RETRY_AFTER_SECONDS = 1
CONTENT_TYPE = "application/problem+json"
_log = logging.getLogger(__name__)

_STATUSES: Mapping[type[TorporError], HTTPStatus] = {
    MalformedEvent: HTTPStatus.BAD_REQUEST,
    InvalidName: HTTPStatus.BAD_REQUEST,
    ObjectTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    MessageTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    OtherRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    BrokerAway: HTTPStatus.SERVICE_UNAVAILABLE,
    BrokerFull: HTTPStatus.INSUFFICIENT_STORAGE,
    BrokerRefused: HTTPStatus.SERVICE_UNAVAILABLE,
}
_UNPROVEN = frozenset(
    {
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "IncompleteSignatureException",
    }
)


def problem(status: HTTPStatus, code: str, detail: str) -> web.Response:
    """Return an answer with a problem."""
    EVENTS_REFUSED.labels(code).inc()
    body = {"title": status.phrase, "status": status.value, "code": code, "detail": detail}
    response = web.Response(status=status, body=orjson.dumps(body), content_type=CONTENT_TYPE)
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def problem_of(error: TorporError) -> web.Response:
    """Return the answer to what failed so; an error of an unknown kind is raised again."""
    for kind in type(error).__mro__:
        status = _STATUSES.get(kind)
        if status is not None:
            return problem(status, error.code, str(error))
    raise error


def problem_of_refusal(refused: Refused) -> web.Response:
    """Return the answer to a request that the parts shared with AWS's protocols refused."""
    if refused.code in _UNPROVEN:
        response = problem(HTTPStatus.UNAUTHORIZED, "unauthorized", refused.message)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response
    code = "".join(f"-{each.lower()}" if each.isupper() else each for each in refused.code)
    return problem(
        HTTPStatus(refused.status), code.strip("-").removesuffix("-exception"), refused.message
    )


def not_allowed(request: web.Request, methods: Sequence[str]) -> web.Response:
    """Return the answer to a method that is not one of these."""
    text = f"{request.path[:200]} takes {', '.join(methods)}, not {request.method}"
    response = problem(HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", text)
    response.headers["Allow"] = ", ".join(methods)
    return response


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what a handler raises with a problem."""
    try:
        return await handler(request)
    except Refused as refused:
        return problem_of_refusal(refused)
    except web.HTTPMethodNotAllowed as found:
        return not_allowed(request, sorted(found.allowed_methods))
    except web.HTTPException as found:
        text = f"there is nothing at {request.path[:200]}"
        return problem(HTTPStatus(found.status), "no-such-resource", text)
    except TorporError as error:
        return problem_of(error)
    except Exception:
        _log.exception("%s %s failed", request.method, request.path)
        text = "the request could not be processed because of an unexpected failure"
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "defect", text)
