"""A small client of the execution API: AWS's JSON 1.0 protocol over a way to send one request.

The way is given, so that the same client works with a URL and through a cluster's API server. An
answer that is an error is raised with AWS's code; nothing is sent twice.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torpor.errors import TorporError

CONTENT_TYPE = "application/x-amz-json-1.0"
TARGET_PREFIX = "AWSStepFunctions."

Send = Callable[[Mapping[str, str], bytes], Awaitable[tuple[int, bytes]]]
"""Posts a body with headers to the API and gives the HTTP status and the answer's body."""


class Refused(TorporError):
    """The API's answer to a call that it did not do; `name` is AWS's code of the error."""

    code = "workflow-call-refused"

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}" if message else name)
        self.name = name


class NotTheApi(TorporError):
    """Whatever answered is not the execution API."""

    code = "not-the-execution-api"


@dataclass(frozen=True, slots=True)
class StepFunctions:
    """Calls by AWS's names of actions and of their fields."""

    send: Send

    async def call(self, action: str, **request: Any) -> dict[str, Any]:
        """The answer to one call; fields that are None are left out. Raises Refused."""
        given = {name: value for name, value in request.items() if value is not None}
        headers = {"content-type": CONTENT_TYPE, "x-amz-target": TARGET_PREFIX + action}
        status, body = await self.send(headers, json.dumps(given).encode())
        answer = _object(body)
        if answer is not None and status == 200:
            return answer
        if answer is not None and "__type" in answer:
            name = str(answer["__type"]).rpartition("#")[2]
            raise Refused(name, str(answer.get("message") or answer.get("Message") or ""))
        told = body.decode(errors="replace").strip()[:300]
        raise NotTheApi(f"what answers is not the execution API: {status} {told}".rstrip())

    async def each(self, action: str, field: str, **request: Any) -> AsyncIterator[dict[str, Any]]:
        """The items of all pages of a listing, page by page as they are asked for."""
        token: str | None = None
        while True:
            page = await self.call(action, nextToken=token, **request)
            for item in page[field]:
                yield item
            token = page.get("nextToken")
            if not token:
                return


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
