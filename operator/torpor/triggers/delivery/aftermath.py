"""How a Function's asynchronous call ended, told to its destinations in AWS Lambda's record.

The record becomes an event in the inbox of the destination, before the call is removed from its
own: it is delivered, retried and dead-lettered from there as any event is. Source of the record:
AWS Lambda, "Capturing records of Lambda asynchronous invocations".
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Trigger
from torpor.triggers.broker import names
from torpor.triggers.broker.objects import Objects, ObjectTooLarge
from torpor.triggers.broker.publishing import MessageTooLarge, Outgoing, Publisher
from torpor.triggers.claims import check_in
from torpor.triggers.delivery.attempts import Answer, Verdict, judge
from torpor.triggers.delivery.call_target import REQUEST
from torpor.triggers.delivery.function_target import problem_of
from torpor.triggers.delivery.item import Item
from torpor.triggers.event import Event, make_event
from torpor.triggers.implied import Implied, Role, inbox_name
from torpor.triggers.inbox import Entering, enter

TYPES: Final = {
    Role.SUCCESS: "dev.torpor.function.succeeded",
    Role.FAILURE: "dev.torpor.function.failed",
}
SUCCESS: Final = "Success"
EXHAUSTED: Final = "RetriesExhausted"
TOO_OLD: Final = "EventAgeExceeded"
_VERSION = "1.0"
_LATEST = "$LATEST"
_FAILED = "function-failed"


class Aftermath:
    """Tells the ends of one Function's calls. Raises BrokerAway: the end is told again later."""

    def __init__(
        self,
        trigger: Trigger,
        implied: Implied,
        publisher: Publisher,
        objects: Objects,
        wall: Callable[[], float],
    ) -> None:
        self._trigger = trigger
        self._implied = implied
        self._publisher = publisher
        self._objects = objects
        self._wall = wall

    async def succeeded(self, item: Item, answer: Answer) -> None:
        """Tell that the function answered."""
        await self._tell(Role.SUCCESS, item, SUCCESS, answer, item.record.attempts + 1)

    async def failed(self, item: Item, answer: Answer | None) -> None:
        """Tell that the call was given up; `answer` is that of its last attempt, if one was now."""
        if item.piece is not None:
            condition = self._condition(item, answer)
            await self._tell(Role.FAILURE, item, condition, answer, item.record.attempts)

    def _condition(self, item: Item, answer: Answer | None) -> str:
        delivery = self._trigger.delivery
        if item.record.attempts >= delivery.max_attempts:
            return EXHAUSTED
        age = self._wall() - item.message.stored_seconds
        if answer is None:
            return TOO_OLD if age > delivery.max_age_seconds else EXHAUSTED
        return TOO_OLD if judge(answer, delivery) is Verdict.RETRY else EXHAUSTED

    async def _tell(
        self, role: Role, item: Item, condition: str, answer: Answer | None, count: int
    ) -> None:
        if role not in self._implied.told:
            return
        event = item.content.event
        about = self._about(event, condition, count)
        full = {**about, "requestPayload": _request_payload(event), **_response(answer)}
        bare = {**about, "requestPayload": None, "responseContext": None, "responsePayload": None}
        try:
            encoded = await self._encoded(role, event, full)
        except (ObjectTooLarge, MessageTooLarge):
            encoded = await self._encoded(role, event, bare)
        await enter(self._publisher, [self._message(role, event, encoded)])

    def _about(self, event: Event, condition: str, count: int) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds")
        return {
            "version": _VERSION,
            "timestamp": now.replace("+00:00", "Z"),
            "requestContext": {
                "requestId": orjson.loads(str(event.attributes[REQUEST]))["id"],
                "functionArn": f"{self._implied.arn}:{_LATEST}",
                "condition": condition,
                "approximateInvokeCount": count,
            },
        }

    async def _encoded(self, role: Role, event: Event, record: dict[str, Any]) -> bytes:
        found = make_event(
            id=event.id,
            source=event.source,
            type=TYPES[role],
            datacontenttype="application/json",
            data=record,
            extensions={"traceparent": event.traceparent},
        )
        return await check_in(found, self._objects)

    def _message(self, role: Role, event: Event, encoded: bytes) -> Entering:
        key = FunctionKey(self._trigger.key.namespace, inbox_name(role, self._implied.function))
        subject = names.inbox_subject(key.namespace, key.name)
        scope = f"{role.value} {self._trigger.uid}"
        message_id = names.message_id(event.source, event.id, scope)
        return Entering(Outgoing(subject, encoded, message_id), ordered=False)


def _request_payload(event: Event) -> Any:
    return _value(event.data) if isinstance(event.data, bytes) else None


def _response(answer: Answer | None) -> dict[str, Any]:
    if answer is None or answer.status is None:
        return {"responseContext": None, "responsePayload": None}
    context: dict[str, Any] = {"statusCode": answer.status, "executedVersion": _LATEST}
    if answer.ok:
        return {"responseContext": context, "responsePayload": _value(answer.body)}
    problem = problem_of(answer.body)
    payload = _value(answer.body)
    if problem.get("code") == _FAILED and "errorType" in problem:
        context["statusCode"] = 200  # Lambda counts a raised exception as an answer
        payload = {name: problem.get(name) for name in ("errorMessage", "errorType", "stackTrace")}
    context["functionError"] = "Unhandled"
    return {"responseContext": context, "responsePayload": payload}


def _value(body: bytes) -> Any:
    """The JSON that it is; else its text, or its base64 where it is no text."""
    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body).decode()
