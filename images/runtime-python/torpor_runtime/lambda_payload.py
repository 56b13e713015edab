"""`payload: lambda`: events, contexts and results as AWS Lambda has them.

A caller that shows the function's token invokes it directly, as Lambda's own API does: the body is
the event and the result is the answer. Any other request is one of HTTP, as API Gateway and
function URLs pass it on (payload format 2.0).
"""

from __future__ import annotations

import json

from torpor_runtime.answer import Answer, BadReturn
from torpor_runtime.lambda_context import LambdaContext, client_context_of
from torpor_runtime.payload import parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from torpor_runtime.event import Context, Event
    from torpor_runtime.payload import Given

_CLIENT_CONTEXT = "x-amz-client-context"


class MarshalError(BadReturn):
    """The handler's result is no JSON; callers are told Lambda's name for it."""


MarshalError.__name__ = "Runtime.MarshalError"


def given_invocation(event: Event, context: Context, proven: Callable[[], bool]) -> Given:
    """Return what the handler is given, and what becomes of its result."""
    if not proven():
        from torpor_runtime.lambda_http import answer_of, event_of

        return event_of(event, context), LambdaContext(context), lambda it: answer_of(it, json_of)
    client = client_context_of(event.headers.get(_CLIENT_CONTEXT))
    value = parsed(event.body, "the payload of an invocation") if event.body else {}
    return value, LambdaContext(context, client), _answer


def json_of(result: Any) -> bytes:
    """Return the result as JSON; MarshalError if it is none."""
    try:
        return json.dumps(result, default=_plain, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise MarshalError(f"Unable to marshal response: {error}") from error


def _answer(result: Any) -> Answer:
    if isinstance(result, bytes):
        return Answer(200, [("Content-Type", "application/octet-stream")], result)
    return Answer(200, [("Content-Type", "application/json")], json_of(result))


def _plain(value: Any) -> Any:
    """Return a Decimal, which DynamoDB's clients return, as the number it is."""
    if type(value).__name__ == "Decimal":
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
