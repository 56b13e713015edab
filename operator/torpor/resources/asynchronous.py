"""How a Function is called by those who do not wait: its settings, and one such call.

The gateways hand calls over to the events role, so both take the form of a call from here. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from torpor.resources.fields import Fields
from torpor.resources.trigger import Target, TargetKind, parse_target

DEFAULT_MAX_ATTEMPTS: Final = 3
LONGEST_AGE_SECONDS: Final = 21_600
MAX_BODY_BYTES: Final = 16 << 20
"""The longest body of a call; as long as that of an event."""
UNAVAILABLE: Final = "async-unavailable"
"""The code of the problem that there is nobody to take asynchronous calls."""


@dataclass(frozen=True, slots=True)
class Asynchronous:
    """`spec.async`: how often and how long a call is tried, and who is told how it ended."""

    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    max_age_seconds: int = LONGEST_AGE_SECONDS
    on_success: Target | None = None
    on_failure: Target | None = None

    @classmethod
    def parse(cls, found: Fields, path: str = "spec.async") -> Asynchronous:
        """Return the settings; InvalidResource names the bad field."""
        return cls(
            found.integer("maxAttempts", DEFAULT_MAX_ATTEMPTS, low=1, high=1000),
            found.integer("maxAgeSeconds", LONGEST_AGE_SECONDS, low=60, high=LONGEST_AGE_SECONDS),
            _destination(found, path, "onSuccess"),
            _destination(found, path, "onFailure"),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what `parse` reads."""
        success, failure = self.on_success, self.on_failure
        return {
            "maxAttempts": self.max_attempts,
            "maxAgeSeconds": self.max_age_seconds,
            "onSuccess": None if success is None else target_to_json(success),
            "onFailure": None if failure is None else target_to_json(failure),
        }


@dataclass(frozen=True, slots=True)
class Callee:
    """What a gateway knows of the Function that is called; `limit` 0: there is none."""

    uid: str
    arn: str
    timeout_seconds: float
    target: int
    limit: int
    most_replicas: int
    settings: Asynchronous


@dataclass(frozen=True, slots=True)
class AsyncCall:
    """A call that is to be done later. `path` is what the function sees, with its query.

    Whoever knows `id` may have the result. `request_id` is the one that logs have.
    """

    id: str
    request_id: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    callee: Callee

    def encode(self) -> bytes:
        """Return a line of JSON, and behind it the body as it is."""
        callee = self.callee
        head = {
            "id": self.id,
            "requestId": self.request_id,
            "method": self.method,
            "path": self.path,
            "headers": dict(self.headers),
            "uid": callee.uid,
            "arn": callee.arn,
            "timeoutSeconds": callee.timeout_seconds,
            "target": callee.target,
            "limit": callee.limit,
            "mostReplicas": callee.most_replicas,
            "async": callee.settings.to_json(),
        }
        return orjson.dumps(head) + b"\n" + self.body

    @classmethod
    def decode(cls, text: bytes) -> AsyncCall:
        """Return what `encode` wrote; ValueError, LookupError or TypeError for anything else."""
        line, _, body = text.partition(b"\n")
        head = orjson.loads(line)
        callee = Callee(
            uid=str(head["uid"]),
            arn=str(head["arn"]),
            timeout_seconds=float(head["timeoutSeconds"]),
            target=int(head["target"]),
            limit=int(head["limit"]),
            most_replicas=int(head["mostReplicas"]),
            settings=Asynchronous.parse(Fields(head["async"], "async")),
        )
        return cls(
            id=str(head["id"]),
            request_id=str(head["requestId"]),
            method=str(head["method"]),
            path=str(head["path"]),
            headers={str(name): str(value) for name, value in head["headers"].items()},
            body=body,
            callee=callee,
        )


def calls_path(namespace: str, name: str) -> str:
    """Return where the events role takes the calls of a Function."""
    return f"/v1/namespaces/{namespace}/functions/{name}/calls"


def result_path(namespace: str, call: str) -> str:
    """Return where a gateway tells the result of a call, whatever host it is asked by."""
    return f"/function/@calls/{namespace}/{call}"


def target_to_json(target: Target) -> dict[str, Any]:
    """Return what `parse_target` reads."""
    found = {"name": target.name}
    if target.kind is TargetKind.FUNCTION:
        found |= {"path": target.path, "method": target.method}
    return {target.kind.value: found}


def _destination(found: Fields, path: str, name: str) -> Target | None:
    return parse_target(found.child(name), f"{path}.{name}") if found.has(name) else None
