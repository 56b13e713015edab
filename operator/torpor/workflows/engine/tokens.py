"""Task tokens: what SendTask… calls name a waiting task by.

A token is opaque and signed (HMAC-SHA256), so that any engine can tell without a look-up whether it
is genuine and which execution it belongs to. It does not expire: whether its task still waits is
the frontier's to say, by the ticket. The execution's start is in it, because a name can be used
again when its execution is forgotten: tokens of the one before are not good for the next one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass

from torpor.workflows.engine.base import TaskRefused

_SIGNATURE_BYTES = 16
_START = struct.Struct(">d")


@dataclass(frozen=True, slots=True)
class TaskRef:
    """One wait of one frame of an execution."""

    execution_arn: str
    frame: int
    ticket: int

    @property
    def key(self) -> str:
        """The idempotency key of the task: the same whenever it is dispatched again."""
        return f"{self.execution_arn}/{self.frame}/{self.ticket}"


@dataclass(frozen=True, slots=True)
class Called:
    """What a token names: a task of the execution that started then (seconds since the epoch)."""

    task: TaskRef
    started_at: float


class TaskTokens:
    """Issues and reads tokens with the installation's key (`resources.tokens.task_token_key`)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, task: TaskRef, started_at: float) -> str:
        """The token of a task: the same task of the same execution has always the same token."""
        start = _START.pack(started_at).hex()
        content = f"{task.frame}.{task.ticket}.{start}.{task.execution_arn}".encode()
        return _text(self._sign(content) + content)

    def read(self, token: str) -> Called:
        """The task that a token names; TaskRefused unless this installation issued it."""
        try:
            padded = token + "=" * (-len(token) % 4)
            raw = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error, ValueError):
            raise TaskRefused("Invalid Token: it has not the form of a task token") from None
        if _text(raw) != token:  # the same bytes can be written in more than one way
            raise TaskRefused("Invalid Token: it has not the form of a task token")
        signature, content = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(content)):
            raise TaskRefused("Invalid Token: this installation did not issue it")
        frame, ticket, start, arn = content.decode().split(".", 3)
        [started_at] = _START.unpack(bytes.fromhex(start))
        return Called(TaskRef(arn, int(frame), int(ticket)), started_at)

    def _sign(self, content: bytes) -> bytes:
        return hmac.new(self._key, content, hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
