"""A run: one invocation of a Job Function, asked for and told of. Pure.

The gateway, the controller, `torpor dev` and the command line speak of runs in these values, and
in the JSON that they become.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

from torpor.errors import TorporError
from torpor.resources.names import FunctionKey

MAX_INPUT_BYTES: Final = 128 << 10
MAX_INPUTS_BYTES: Final = 16 << 20
"""Of all indexes together: Kubernetes keeps the input with every pod."""
MAX_RESULT_BYTES: Final = 4096
"""Of one index: what Kubernetes keeps of a container's termination message."""
MAX_IDEMPOTENCY_KEY: Final = 255
MAX_WAIT_SECONDS: Final = 30.0
BAD_INPUT: Final = "BadInput"
"""The reason of a run that failed, and would with every attempt: what it was given is wrong."""
RUNS_PREFIX: Final = "/function/@runs/"
"""Behind it namespace and id of a run, at every host; `@` begins no namespace."""
_PREFIX_LETTERS = 36  # with "-", 20 digits and "-99999" of an index 63 letters, as a host name has
_HASH_DIGITS = 20


class RunState(Enum):
    """Where a run is; the last three are final."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def is_final(self) -> bool:
        """Whether it stays so."""
        return self not in (RunState.PENDING, RunState.RUNNING)


class UnknownRun(TorporError):
    """There is no such run, or its Job was deleted after its time."""

    code = "unknown-run"


class RunRefused(TorporError):
    """The run is not started or not changed; `status` (HTTP) and `code` say why."""

    def __init__(
        self, status: int, code: str, message: str, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class RunRequest:
    """An invocation. `input` is what the program finds in $TORPOR_INPUT.

    Two with one `idempotency_key` for one Function are the same run.
    """

    key: FunctionKey
    input: str
    idempotency_key: str
    traceparent: str = ""

    def to_json(self) -> dict[str, str]:
        """Return what `from_json` reads."""
        return {
            "namespace": self.key.namespace,
            "function": self.key.name,
            "input": self.input,
            "idempotencyKey": self.idempotency_key,
            "traceparent": self.traceparent,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> RunRequest:
        """Return what `to_json` wrote; LookupError or TypeError for anything else."""
        texts = [found[name] for name in ("namespace", "function", "input", "idempotencyKey")]
        trace = found.get("traceparent", "")
        if not all(isinstance(text, str) for text in (*texts, trace)):
            raise TypeError("the fields of a run's request are texts")
        namespace, name, body, key = texts
        return cls(FunctionKey(namespace, name), body, key, trace)


@dataclass(frozen=True, slots=True)
class Indexes:
    """How many of a run's `total` indexes are where."""

    succeeded: int = 0
    failed: int = 0
    active: int = 0
    total: int = 1


@dataclass(frozen=True, slots=True)
class Run:
    """One run as it is now. Times are RFC 3339; empty while they are not yet.

    `reason` is a CamelCase word and `message` a sentence: why it is pending or how it failed.
    `progress` is what the program last told, None if it never did. `result` is JSON: that of the
    only index, or a list by index with None where there is none. `pod_seconds` is how long its
    containers that ended ran, together. `attempt` counts from 1.
    """

    id: str
    key: FunctionKey
    state: RunState = RunState.PENDING
    reason: str = ""
    message: str = ""
    created: str = ""
    started: str = ""
    finished: str = ""
    attempt: int = 1
    indexes: Indexes = Indexes()
    progress: Mapping[str, Any] | None = None
    result: Any = None
    pod_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return what callers are shown, and `from_json` reads."""
        return {
            "id": self.id,
            "namespace": self.key.namespace,
            "function": self.key.name,
            "state": self.state.value,
            "reason": self.reason,
            "message": self.message,
            "created": self.created or None,
            "started": self.started or None,
            "finished": self.finished or None,
            "attempt": self.attempt,
            "indexes": {
                "succeeded": self.indexes.succeeded,
                "failed": self.indexes.failed,
                "active": self.indexes.active,
                "total": self.indexes.total,
            },
            "progress": None if self.progress is None else dict(self.progress),
            "result": self.result,
            "podSeconds": self.pod_seconds,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Run:
        """Return what `to_json` wrote; LookupError, TypeError or ValueError for anything else."""
        indexes = found["indexes"]
        return cls(
            id=str(found["id"]),
            key=FunctionKey(str(found["namespace"]), str(found["function"])),
            state=RunState(found["state"]),
            reason=str(found["reason"]),
            message=str(found["message"]),
            created=str(found["created"] or ""),
            started=str(found["started"] or ""),
            finished=str(found["finished"] or ""),
            attempt=int(found["attempt"]),
            indexes=Indexes(
                int(indexes["succeeded"]),
                int(indexes["failed"]),
                int(indexes["active"]),
                int(indexes["total"]),
            ),
            progress=None if found["progress"] is None else dict(found["progress"]),
            result=found["result"],
            pod_seconds=float(found["podSeconds"]),
        )


def check_inputs(text: str, completions: int) -> None:
    """Refuse an input that is too long for so many indexes: RunRefused."""
    size = len(text.encode())
    if size * completions <= MAX_INPUTS_BYTES:
        return
    problem = (
        f"the input of a run of {completions} indexes is at most {MAX_INPUTS_BYTES // completions} "
        f"bytes, as each has it, and this has {size}: store it, and send where it is"
    )
    raise RunRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request-too-large", problem)


def run_id(key: FunctionKey, function_uid: str, idempotency_key: str) -> str:
    """Return the id of a run, which is the name of its Job: the same for the same arguments.

    A Function that was deleted and made anew has another uid, so its runs are others.
    """
    asked = "\0".join((function_uid, key.namespace, key.name, idempotency_key))
    digest = hashlib.sha256(asked.encode()).hexdigest()[:_HASH_DIGITS]
    return f"{key.name[:_PREFIX_LETTERS].rstrip('-')}-{digest}"


def unknown_run(namespace: str, run: str) -> UnknownRun:
    """Return what is told of a run that there is not."""
    text = "it never was, or it ended longer than the Function's job.ttlSeconds ago"
    return UnknownRun(f"there is no run {namespace}/{run}: {text}")


def run_location(namespace: str, run: str) -> str:
    """Return where a gateway tells of a run, whatever host it is asked by."""
    return f"{RUNS_PREFIX}{namespace}/{run}"
