"""What the handler is given and may return: the request, a CloudEvent, or what AWS Lambda gives."""

from __future__ import annotations

from torpor_runtime.answer import answer_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from torpor_runtime.answer import Answer
    from torpor_runtime.event import Context, Event

    Given = tuple[Any, Any, Callable[[Any], Answer]]
    Payload = Callable[[Event, Context, Callable[[], bool]], Given]
    """Makes of a request the handler's two arguments, and what turns its result into the answer.

    The third argument tells whether the caller showed the function's token. BadPayload if the
    request is none for this function.
    """


class BadPayload(ValueError):
    """The request does not have the shape that the function takes; the text says which one."""


def payload_of(name: str) -> Payload:
    """Return what TORPOR_PAYLOAD names; ValueError for another name."""
    if name == "raw":
        return _raw
    if name == "cloudevents":
        from torpor_runtime.cloudevents import given_event

        return given_event
    if name == "lambda":
        from torpor_runtime.lambda_payload import given_invocation

        return given_invocation
    raise ValueError(f"TORPOR_PAYLOAD is {name!r}; it must be raw, cloudevents or lambda")


def parsed(text: bytes, what: str) -> Any:
    """Return JSON as the value it is; BadPayload says that `what` is none."""
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadPayload(f"{what} must be JSON: {error}") from None


def _raw(event: Event, context: Context, _: Callable[[], bool]) -> Given:
    return event, context, answer_of
