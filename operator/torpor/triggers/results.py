"""What became of asynchronous calls: kept for a day, for whoever asks at their Location.

The event of a call carries the attribute `torporcall`; when its delivery has ended, for better or
worse, `keep` stores what came of it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

import orjson

from torpor.resources.trigger import Trigger
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import WrongRevision
from torpor.triggers.broker.kv import Bucket
from torpor.triggers.delivery.attempts import Answer
from torpor.triggers.event import Event

CALL: Final = "torporcall"
"""The attribute with the call's id."""
KEPT_SECONDS: Final = 86_400
MAX_ANSWER_BYTES: Final = 256 * 1024
"""Of a longer answer only that there was one is kept."""
_TOO_LONG: Final = f"the target's answer is longer than {MAX_ANSWER_BYTES} bytes and is not kept"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one call; `ended` False: nothing yet.

    `status` and `body` are the target's answer, `status` None when there was none; `error` says why
    the delivery was given up, and is empty where it was not. `headers` are kept of Functions that
    were called asynchronously.
    """

    trigger: str
    ended: bool = False
    status: int | None = None
    content_type: str = ""
    body: bytes = b""
    error: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class Results:
    """The bucket of results. All methods raise BrokerAway."""

    def __init__(self, connection: Connection) -> None:
        self._bucket = Bucket(connection, names.BUCKET_RESULTS, KEPT_SECONDS)

    async def open(self, namespace: str, call: str, trigger: str) -> None:
        """Note that a call was taken; nothing happens when it was before."""
        try:
            await self._bucket.create(_key(namespace, call), _encoded(Result(trigger)))
        except WrongRevision:
            return

    async def keep(self, trigger: Trigger, event: Event, answer: Answer) -> None:
        """Keep how the delivery of an event ended, if it was an asynchronous call."""
        call = event.attributes.get(CALL)
        if call is None:
            return
        result = Result(
            trigger.key.name,
            ended=True,
            status=answer.status,
            content_type=answer.content_type,
            body=answer.body,
            error=answer.error,
            headers=answer.headers,
        )
        if len(result.body) > MAX_ANSWER_BYTES:
            result = replace(result, body=b"", content_type="", error=result.error or _TOO_LONG)
        await self._bucket.put(_key(trigger.key.namespace, str(call)), _encoded(result))

    async def read(self, namespace: str, call: str) -> Result | None:
        """Return what came of a call so far, None when there was no such call in the last day."""
        found = await self._bucket.get(_key(namespace, call))
        return None if found is None or found.value is None else _decoded(found.value)


def _key(namespace: str, call: str) -> str:
    return names.trigger_key(namespace, names.checked(call, "call"))


def _encoded(result: Result) -> bytes:
    return orjson.dumps(
        {
            "trigger": result.trigger,
            "ended": result.ended,
            "status": result.status,
            "contentType": result.content_type,
            "body": base64.b64encode(result.body).decode(),
            "error": result.error,
            "headers": dict(result.headers),
        }
    )


def _decoded(value: bytes) -> Result:
    found = orjson.loads(value)
    return Result(
        trigger=str(found["trigger"]),
        ended=bool(found["ended"]),
        status=found["status"],
        content_type=str(found["contentType"]),
        body=base64.b64decode(found["body"]),
        error=str(found["error"]),
        headers=MappingProxyType(found.get("headers", {})),
    )
