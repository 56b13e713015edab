"""What a request is told that cannot be served: one constructor for each reason. Pure."""

from __future__ import annotations

from http import HTTPStatus

from torpor.errors import ApiError, UnknownFunction
from torpor.gateway.dataplane.base import Refused
from torpor.platform.base import Trouble
from torpor.resources.names import FunctionKey

TROUBLE_SECONDS = 5
"""When to come back to a function that cannot start; it is looked at again then."""


def unknown(key: FunctionKey) -> Refused:
    """Return the refusal for a function that does not exist."""
    detail = f"There is no function {key}."
    return Refused(HTTPStatus.NOT_FOUND, UnknownFunction.code, detail)


def full(key: FunctionKey, most: int) -> Refused:
    """Return the refusal for a request beyond `spec.hold.maxRequests`."""
    return _later("hold-full", f"{most} requests wait for {key} already.", 1)


def cannot_start(key: FunctionKey, trouble: Trouble) -> Refused:
    """Return the refusal that says what keeps the function's instances from starting.

    Whoever calls may be anyone: the whole message is for the Function's condition.
    """
    reason = f"{trouble.reason}: {trouble.public}" if trouble.public else trouble.reason
    return _later("cannot-start", f"{key} cannot start: {reason}", TROUBLE_SECONDS)


def timed_out(key: FunctionKey, seconds: float, missing: str) -> Refused:
    """Return the refusal for a request that waited as long as it may; `missing` is for what."""
    detail = f"{key} was not ready within {seconds:g} s: {missing}."
    return _later("hold-timeout", detail, 1)


def api_away(key: FunctionKey, error: ApiError) -> Refused:
    """Return the refusal for a function that could not be woken."""
    return _later("api-unavailable", f"{key} could not be woken: {error}", 1)


def plane_away(key: FunctionKey, problem: str) -> Refused:
    """Return the refusal for a function whose requests the data plane could not carry."""
    return _later("data-plane", f"{key} could not be reached: {problem}", 1)


def slots_exhausted() -> Refused:
    """Return the refusal for a function that finds no slot in the data plane."""
    return _later("slots-exhausted", "Too many functions are awake here.", 1)


def stopping() -> Refused:
    """Return the refusal for a request that is still held when the gateway ends."""
    return _later("gateway-stopping", "The gateway is stopping; try again.", 1)


def _later(code: str, detail: str, seconds: int) -> Refused:
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, code, detail, seconds)
