"""What every action of the execution API works with: ledger, engine, settings, the outside."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from torpor.aws.shapes import Group, Values
from torpor.expressions.values import Entropy
from torpor.workflows.asl.events import Dispatch, TaskFailed, TaskSucceeded
from torpor.workflows.engine.base import Api, Observer
from torpor.workflows.ledger.base import Ledger
from torpor.workflows.stepfunctions.arns import Place
from torpor.workflows.stepfunctions.errors import invalid_token

DEFAULT_PAGE = 100
"""Items of a page when the request names no number, as AWS does."""
MOST_POLL_SECONDS = 60.0
"""How long GetActivityTask waits for a task (API reference, "GetActivityTask")."""
REQUEST_BYTES = 8 * 1_048_576
"""The longest request: a definition of 1 MiB fits, escaped at worst to six times its length."""
UNLIMITED_REQUEST_BYTES = 64 * 1_048_576
"""The longest request where payloads have no quota: it has to fit into memory."""


class TaskRunner(Protocol):
    """Does one task outside any execution, for TestState."""

    async def run_once(self, dispatch: Dispatch, observer: Observer) -> TaskSucceeded | TaskFailed:
        """The task's end; it is cancelled when its caller goes away."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the API behaves. Sizes in bytes of UTF-8, `poll_seconds` bounds GetActivityTask.

    `payload_bytes` is the quota of inputs and outputs, None for no quota; `request_bytes` bounds a
    whole request, None for what the quota needs. `credentials` are the access keys and secrets that
    requests must be signed with; `token` is a bearer token that is accepted too. With neither,
    every request is served: protect the port by network policy. Machines made by CreateStateMachine
    look up their Functions in `namespace`. When the server stops, calls may go on for
    `drain_seconds`.
    """

    place: Place = field(default_factory=Place)
    payload_bytes: int | None = 262_144
    request_bytes: int | None = None
    poll_seconds: float = MOST_POLL_SECONDS
    drain_seconds: float = 5.0
    namespace: str = "default"
    credentials: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def most_request_bytes(self) -> int:
        """The longest request that is read; a payload inside one grows when it is quoted."""
        if self.request_bytes is not None:
            return self.request_bytes
        if self.payload_bytes is None:
            return UNLIMITED_REQUEST_BYTES
        return max(REQUEST_BYTES, 2 * self.payload_bytes)


@dataclass(frozen=True, slots=True)
class Service:
    """Everything an action may use. `key` signs page tokens; keep it the same on every replica."""

    ledger: Ledger
    engine: Api
    outside: Entropy
    key: bytes = field(repr=False)
    settings: Settings = field(default_factory=Settings)
    tasks: TaskRunner | None = None

    def read_page_token(self, scope: str, token: str | None) -> str | None:
        """The ledger's token inside one of ours; refuses one that was given for another listing."""
        if token is None:
            return None
        try:
            raw = base64.urlsafe_b64decode(token.encode("ascii"))
        except ValueError:
            raise invalid_token() from None
        inner = raw[16:]
        if not hmac.compare_digest(raw[:16], self._mark(scope, inner)):
            raise invalid_token()
        return inner.decode()

    def page_token(self, scope: str, inner: str | None) -> str | None:
        """Our token around the ledger's, good for the same listing only."""
        if inner is None:
            return None
        raw = inner.encode()
        return base64.urlsafe_b64encode(self._mark(scope, raw) + raw).decode()

    def _mark(self, scope: str, inner: bytes) -> bytes:
        message = b"page:" + scope.encode() + b"\0" + inner
        return hmac.new(self.key, message, hashlib.sha256).digest()[:16]


Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Action:
    """One call of the API: the shape of its request and what does it."""

    shape: Group
    run: Callable[[Service, Values], Awaitable[Answer]]


def page_size(values: Values) -> int:
    """Items of a page that a request asks for; 0 means the default."""
    return values.get("maxResults") or DEFAULT_PAGE


def present(**members: Any) -> Answer:
    """The members that have a value: AWS leaves the others out."""
    return {name: value for name, value in members.items() if value is not None}
