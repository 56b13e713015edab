"""What a function answered, as the Lambda API tells it. Pure.

| the function | is told as |
| --- | --- |
| answered with a status below 400 | its body as it is; of an empty one `null` |
| raised an exception | Unhandled: errorMessage, errorType, requestId, stackTrace |
| took longer than `timeoutSeconds` | Unhandled: Sandbox.Timedout |
| died, or broke the protocol | Unhandled: Runtime.ExitError |
| answered too long a body | Unhandled: Function.ResponseSizeTooLarge |
| sent `X-Amz-Function-Error` itself | that, with its body as it is |
| answered with another error status | Handled: HTTPError, with the status and the text |
| was not reached | an error of the call, see `errors` |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Never

import orjson

from torpor.gateway.lambda_api import errors
from torpor.invoke import Answer, Response

UNHANDLED = "Unhandled"
HANDLED = "Handled"
_PROBLEM = "application/problem+json"
_QUOTED_CHARACTERS = 2_000
_NULL = b"null"


@dataclass(frozen=True, slots=True)
class Result:
    """The body of the answer to Invoke; `error` is the value of X-Amz-Function-Error.

    `log` is that of X-Amz-Log-Result: the end of what the call logged, in Base64.
    """

    payload: bytes
    error: str | None = None
    log: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: the function's ARN, and the time that it has for an answer."""

    arn: str
    timeout_seconds: float


def result_of(response: Response, asked: Asked) -> Result:
    """Return the result of a call; Refused if the function did not get it."""
    found = _problem(response)
    code = found.get("code")
    if code == "function-failed":
        return _failed(response, found)
    if code in _BY_CODE:
        return _BY_CODE[code](response, asked, str(found.get("detail", code)))
    said = _header(response, "X-Amz-Function-Error")
    if said in (HANDLED, UNHANDLED):
        return Result(response.body or _NULL, said)
    if response.status >= HTTPStatus.BAD_REQUEST:
        return _refused_by_itself(response)
    return Result(response.body or _NULL)


def with_log(result: Result, response: Response) -> Result:
    """Return the result with the log that the function's runtime sent with its answer, if any."""
    return replace(result, log=_header(response, "X-Amz-Log-Result") or None)


def is_plain(answer: Answer) -> bool:
    """Return whether the body of an answer that began is the result as it comes."""
    failed = answer.status >= HTTPStatus.BAD_REQUEST
    return not failed and _header(answer, "X-Amz-Function-Error") not in (HANDLED, UNHANDLED)


def error_type(result: Result) -> str:
    """Return the name of the error of a result that is one."""
    told = _json(result.payload.decode(errors="replace"))
    return str(told.get("errorType") or result.error)


def too_long() -> Result:
    """The function's answer is longer than a result may be."""
    message = (
        f"Response payload size exceeded maximum allowed payload size ({errors.MOST_BYTES} bytes)."
    )
    told = {"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}
    return Result(orjson.dumps(told), UNHANDLED)


def timed_out(request_id: str, seconds: float) -> Result:
    """The function did not answer within its time."""
    message = f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds"
    told = {"errorMessage": message, "errorType": "Sandbox.Timedout"}
    return Result(orjson.dumps(told), UNHANDLED)


def _failed(response: Response, problem: Mapping[str, Any]) -> Result:
    told = {
        "errorMessage": str(problem.get("errorMessage", problem.get("detail", ""))),
        "errorType": str(problem.get("errorType", "Error")),
        "requestId": str(problem.get("requestId") or response.request_id),
        "stackTrace": problem.get("stackTrace", []),
    }
    return Result(orjson.dumps(told), UNHANDLED)


def _timeout(response: Response, asked: Asked, _: str) -> Result:
    return timed_out(response.request_id, asked.timeout_seconds)


def _exited(response: Response, _: Asked, detail: str) -> Result:
    message = f"RequestId: {response.request_id} Error: {detail}"
    told = {"errorMessage": message, "errorType": "Runtime.ExitError"}
    return Result(orjson.dumps(told), UNHANDLED)


def _unknown(_: Response, asked: Asked, __: str) -> Never:
    raise errors.not_found(asked.arn)


def _throttled(response: Response, _: Asked, detail: str) -> Never:
    reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
    raise errors.throttled(detail, reason, _retry_after_seconds(response))


def _not_ready(response: Response, _: Asked, detail: str) -> Never:
    raise errors.not_ready(detail, _retry_after_seconds(response))


def _unserved(response: Response, _: Asked, detail: str) -> Never:
    raise errors.unserved(detail, _retry_after_seconds(response))


_BY_CODE = {
    "timeout": _timeout,
    "bad-gateway": _exited,
    "unknown-function": _unknown,
    "reserved-concurrency": _throttled,
    "cannot-start": _not_ready,
    "hold-timeout": _not_ready,
    **dict.fromkeys(
        (
            "api-unavailable",
            "data-plane",
            "gateway-starting",
            "gateway-stopping",
            "hold-full",
            "internal",
            "queue-timeout",
            "slots-exhausted",
            "unavailable",
            "unreachable",
        ),
        _unserved,
    ),
}


def _refused_by_itself(response: Response) -> Result:
    text = response.body.decode(errors="replace")
    if isinstance(_json(text).get("errorType"), str):
        return Result(response.body, HANDLED)
    told = {
        "errorMessage": f"status {response.status}: {text[:_QUOTED_CHARACTERS]}",
        "errorType": "HTTPError",
    }
    return Result(orjson.dumps(told), HANDLED)


def _problem(response: Response) -> Mapping[str, Any]:
    kind = _header(response, "Content-Type").partition(";")[0].strip().lower()
    return _json(response.body.decode(errors="replace")) if kind == _PROBLEM else {}


def _json(text: str) -> Mapping[str, Any]:
    try:
        value = orjson.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _retry_after_seconds(response: Response) -> int:
    text = _header(response, "Retry-After")
    return int(text) if text.isdecimal() else 1


def _header(response: Response | Answer, name: str) -> str:
    found = (value for key, value in response.headers.items() if key.lower() == name.lower())
    return next(found, "")
