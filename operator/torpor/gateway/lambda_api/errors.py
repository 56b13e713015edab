"""What the Lambda API refuses, in the words and statuses of AWS Lambda. Pure.

Source: AWS Lambda API reference, Invoke. Clients find the code in `x-amzn-ErrorType`.
"""

from __future__ import annotations

from http import HTTPStatus

from torpor.aws.errors import Refused

MOST_BYTES = 6 * 1024 * 1024
"""The longest payload of a call that is waited for, and the longest result."""
MOST_ASYNCHRONOUS_BYTES = 1024 * 1024
"""The longest payload of a call that is not."""


class Later(Refused):
    """A call that may succeed after `retry_after_seconds`; `reason` is AWS's word, or empty."""

    def __init__(
        self, code: str, message: str, status: int, seconds: int, reason: str = ""
    ) -> None:
        super().__init__(code, message, status)
        self.retry_after_seconds = seconds
        self.reason = reason


def not_found(arn: str) -> Refused:
    """There is no such function, or no such version of it."""
    return Refused("ResourceNotFoundException", f"Function not found: {arn}", HTTPStatus.NOT_FOUND)


def no_operation(method: str, path: str) -> Refused:
    """Nothing of AWS's API is served there."""
    message = (
        f"{method} {path} is not served: functions are made with kubectl, and called here with "
        "Invoke"
    )
    return Refused("UnknownOperationException", message, HTTPStatus.NOT_FOUND)


def no_json(why: str) -> Refused:
    """The payload is no JSON."""
    return bad_content(f"Could not parse request body into json: {why}")


def bad_content(message: str) -> Refused:
    """A part of the request is not what it must be."""
    return Refused("InvalidRequestContentException", message)


def bad_value(name: str, value: str, allowed: str) -> Refused:
    """A parameter has none of its values."""
    message = f"{name} is '{value[:64]}': write {allowed}"
    return Refused("InvalidParameterValueException", message)


def too_large(most_bytes: int, operation: str) -> Refused:
    """The payload is too long."""
    message = f"Request must be smaller than {most_bytes} bytes for the {operation} operation"
    return Refused("RequestTooLargeException", message, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def throttled(message: str, reason: str, seconds: int) -> Later:
    """There are too many calls."""
    code, status = "TooManyRequestsException", HTTPStatus.TOO_MANY_REQUESTS
    return Later(code, message, status, seconds, reason)


def not_ready(message: str, seconds: int) -> Later:
    """The function cannot take requests; the message says why."""
    return Later("ResourceNotReadyException", message, HTTPStatus.BAD_GATEWAY, seconds)


def unserved(message: str, seconds: int = 1) -> Later:
    """The call could not be done; the fault is not the function's."""
    return Later("ServiceException", message, HTTPStatus.SERVICE_UNAVAILABLE, seconds)


def no_room() -> Later:
    """The result has no room in the gateway's memory; the call may have been done."""
    message = (
        "This gateway has no memory for the result, as too many are being sent; the function may "
        "have been called: call again only what may be done twice"
    )
    return unserved(message)


def closed() -> Refused:
    """Nobody may use the API as long as no clients are known."""
    message = (
        "This gateway knows no clients yet: name a Secret with `keys` or a `token` in Helm's "
        "gateway.api.secretName (TORPOR_ACCESS_KEYS, TORPOR_API_TOKEN), or let anyone in with "
        "gateway.api.clients=anyone (TORPOR_API_CLIENTS=anyone)"
    )
    return Refused("AccessDeniedException", message, HTTPStatus.FORBIDDEN)
