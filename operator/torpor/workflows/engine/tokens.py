"""Task tokens: what SendTask… calls name a waiting task by.

A token is opaque and signed (HMAC-SHA256), so that any engine can tell without a look-up whether it
is genuine and which execution it belongs to. It does not expire: whether its task still waits is
the frontier's to say, by the ticket.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

from torpor.workflows.engine.base import TaskRefused

_SIGNATURE_BYTES = 16


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


class TaskTokens:
    """Issues and reads tokens with the installation's key (`resources.tokens.task_token_key`)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, task: TaskRef) -> str:
        """The token of a task: the same task has always the same token."""
        content = f"{task.frame}.{task.ticket}.{task.execution_arn}".encode()
        return base64.urlsafe_b64encode(self._sign(content) + content).decode().rstrip("=")

    def read(self, token: str) -> TaskRef:
        """The task that a token names; TaskRefused unless this installation issued it."""
        try:
            padded = token + "=" * (-len(token) % 4)
            raw = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error, ValueError):
            raise TaskRefused("Invalid Token: it has not the form of a task token") from None
        signature, content = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(content)):
            raise TaskRefused("Invalid Token: this installation did not issue it")
        frame, ticket, arn = content.decode().split(".", 2)
        return TaskRef(arn, int(frame), int(ticket))

    def _sign(self, content: bytes) -> bytes:
        return hmac.new(self._key, content, hashlib.sha256).digest()[:_SIGNATURE_BYTES]
