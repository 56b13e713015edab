"""Calls that are sent again: one call, as long as its result is kept.

A caller that sends a request again names it by an Idempotency-Key, or by the `source` and `id` of
its CloudEvent. The first such request gets a random id, and others with its name that are the same
request get that id too. Another request of the same name is refused: its sender would take the
other's result for its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import orjson

from torpor.errors import TorporError
from torpor.resources.names import FunctionKey
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import WrongRevision
from torpor.triggers.broker.kv import Bucket
from torpor.triggers.event import MalformedEvent
from torpor.triggers.results import KEPT_SECONDS

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
_MOST_CHARACTERS = 256
_TRIES = 3


class OtherRequest(TorporError):
    """A request of this name was sent before, and it was another one."""

    code = "idempotency-key-reused"


@dataclass(frozen=True, slots=True)
class Request:
    """What makes two requests the same: `name` ("" for one that is never sent again) and `digest`.

    `called` is who was called, and `uid` which of that name it was.
    """

    called: FunctionKey
    uid: str
    name: str
    digest: str

    @property
    def place(self) -> str:
        """Return the key of its claim; no id of a call has a dot."""
        hashed = names.message_id("call", self.name, f"{self.called} {self.uid}")
        return f"{names.trigger_key(self.called.namespace, self.called.name)}.{hashed}"


@dataclass(frozen=True, slots=True)
class _Claim:
    """The call that the first request of a name became; `stored`: it is in its inbox."""

    call: str
    digest: str
    stored: bool = False


class Repeats:
    """The claims, in the bucket of the results, which keeps both as long. Raises BrokerAway."""

    def __init__(self, connection: Connection) -> None:
        self._bucket = Bucket(connection, names.BUCKET_RESULTS, KEPT_SECONDS)

    async def once(
        self, request: Request, new: str, store: Callable[[str], Awaitable[None]]
    ) -> str:
        """Have `store` store the call, unless it was before; return its id, `new` if it is new.

        OtherRequest if the name belongs to another request.
        """
        if not request.name:
            await store(new)
            return new
        claim = await self._claim(request, new)
        if claim.digest != request.digest:
            raise OtherRequest(
                f"another request (method, path or body) was sent as {request.name[:80]!r} within "
                "the last day: send a new request with a name of its own, and the same one as it "
                "was"
            )
        if not claim.stored:  # of two at the same time, both store it: the broker takes one
            await store(claim.call)
            await self._bucket.put(request.place, _encoded(replace(claim, stored=True)))
        return claim.call

    async def _claim(self, request: Request, new: str) -> _Claim:
        for _ in range(_TRIES):
            found = await self._bucket.get(request.place)
            if found is not None and found.value is not None:
                return _Claim(**orjson.loads(found.value))
            claim = _Claim(names.checked(new, "call"), request.digest)
            try:
                await self._bucket.create(request.place, _encoded(claim))
            except WrongRevision:
                continue  # the same request came twice at this moment
            return claim
        raise BrokerAway(f"the calls of {request.called} are not kept: send it again")


def key_of(headers: Mapping[str, str]) -> str:
    """Return the Idempotency-Key, "" if there is none; MalformedEvent for one that cannot be."""
    wanted = IDEMPOTENCY_KEY.lower()
    given = next((value for name, value in headers.items() if name.lower() == wanted), None)
    if given is None:
        return ""
    if not 0 < len(given) <= _MOST_CHARACTERS:
        raise MalformedEvent(f"{IDEMPOTENCY_KEY} may have 1 to {_MOST_CHARACTERS} characters")
    return given


def digest_of(method: str, path: str, body: bytes) -> str:
    """Return what differs where one of these does."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (method.encode(), path.encode(), body):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def _encoded(claim: _Claim) -> bytes:
    return orjson.dumps({"call": claim.call, "digest": claim.digest, "stored": claim.stored})
