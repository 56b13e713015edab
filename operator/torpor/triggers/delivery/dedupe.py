"""One effect for each idempotency key, by a record around the delivery.

The states are those of AWS's Powertools: INPROGRESS until a deadline, COMPLETED until the window
ends, and no record, which is also what an expired one means. A record is taken by whoever writes it
first, and renewed while the target works. One in progress past its deadline belongs to a process
that died and is taken over; until then the target may be at work, and the event waits.

The key alone says what is the same: other data under it is not looked at.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import orjson

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Dedupe
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import WrongRevision
from torpor.triggers.broker.kv import Bucket
from torpor.triggers.delivery.attempts import Answer
from torpor.triggers.delivery.expiring import ExpiringBucket
from torpor.triggers.event import Event, to_json
from torpor.triggers.transform.bounded_jmespath import Expression, compile_expression
from torpor.triggers.transform.result import Unfit

LIVE_SECONDS = 8 * 86_400
"""Longer than the longest window."""
_CLAIM_SECONDS = 60.0
"""How long a record is kept besides: a claim that lapsed can still be completed."""
_MOST_KEPT_BYTES = 16 * 1024
"""Of the first answer, to be told to those that come later."""


class State(StrEnum):
    """Of a record."""

    IN_PROGRESS = "INPROGRESS"
    COMPLETED = "COMPLETED"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to deliver an event, until it is completed or released.

    `by` tells the delivery that took it from all others.
    """

    key: str
    revision: int
    by: str


@dataclass(frozen=True, slots=True)
class Before:
    """An event of this key was delivered; its answer, without its body if that was long."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An event of this key is being delivered, by Unix time `until` at the latest."""

    until: float


def dedupe_bucket(
    connection: Connection, settings: Dedupe, working_seconds: float
) -> ExpiringBucket:
    """Return the bucket for the records of a Trigger whose target works so long at the most."""
    live_seconds = settings.window_seconds + working_seconds + _CLAIM_SECONDS
    return ExpiringBucket(connection, names.BUCKET_DEDUPE, LIVE_SECONDS, live_seconds)


class Deduplication:
    """The records of one Trigger. All methods raise BrokerAway; `wall` gives Unix seconds.

    ValueError when the key is no JMESPath.
    """

    def __init__(
        self, bucket: Bucket, trigger: FunctionKey, settings: Dedupe, wall: Callable[[], float]
    ) -> None:
        self._bucket = bucket
        self._prefix = names.trigger_key(trigger.namespace, trigger.name)
        self._window_seconds = settings.window_seconds
        self._expression: Expression = compile_expression(settings.key)
        self._wall = wall

    def key_of(self, event: Event) -> str | None:
        """Return the record's key, or None where the event has no value for it."""
        try:
            value: Any = self._expression.search(to_json(event))
        except Unfit:
            return None
        if value is None:
            return None
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        return f"{self._prefix}.{hashlib.blake2b(text, digest_size=16).hexdigest()}"

    async def claim(
        self, key: str, in_progress_seconds: float, by: str
    ) -> Claim | Before | Elsewhere:
        """Take the record of a key, to be in progress that long; or what is in the way."""
        while True:
            try:
                return await self._claim(key, in_progress_seconds, by)
            except WrongRevision:
                continue  # somebody else wrote between our read and our write: read again

    async def renew(self, claim: Claim, in_progress_seconds: float) -> Claim:
        """Have it in progress that long from now. What was taken over stays so."""
        value = self._in_progress(in_progress_seconds, claim.by)

        async def write(revision: int) -> int:
            return await self._bucket.update(claim.key, value, revision)

        return replace(claim, revision=await self._over(claim, write))

    async def complete(self, claim: Claim, answer: Answer) -> None:
        """Have it delivered. What others wrote since stays: then the claim had been taken over."""
        value = {
            "state": State.COMPLETED.value,
            "until": self._wall() + self._window_seconds,
            "status": answer.status,
            "type": answer.content_type,
            "body": b64encode(answer.body[: _MOST_KEPT_BYTES + 1]).decode()
            if len(answer.body) <= _MOST_KEPT_BYTES
            else "",
        }

        async def write(revision: int) -> int:
            return await self._bucket.update(claim.key, orjson.dumps(value), revision)

        await self._over(claim, write)

    async def release(self, claim: Claim) -> None:
        """Have it not delivered, so that the next attempt may."""

        async def write(revision: int) -> int:
            await self._bucket.delete(claim.key, revision)
            return revision

        await self._over(claim, write)

    async def _over(self, claim: Claim, write: Callable[[int], Awaitable[int]]) -> int:
        """Write over our own record, whose last renewal's answer may have been lost.

        Returns the revision; the claim's own where others have taken it over.
        """
        try:
            return await write(claim.revision)
        except WrongRevision:
            entry = await self._bucket.get(claim.key)
        if entry is None or orjson.loads(entry.value or b"{}").get("by") != claim.by:
            return claim.revision
        return await write(entry.revision)

    def _in_progress(self, seconds: float, by: str) -> bytes:
        until = self._wall() + seconds
        return orjson.dumps({"state": State.IN_PROGRESS.value, "until": until, "by": by})

    async def _claim(self, key: str, seconds: float, by: str) -> Claim | Before | Elsewhere:
        now = self._wall()
        value = self._in_progress(seconds, by)
        try:
            return Claim(key, await self._bucket.create(key, value), by)
        except WrongRevision:
            entry = await self._bucket.get(key)
        if entry is None:
            raise WrongRevision(0, "deleted just now")
        found = orjson.loads(entry.value or b"{}")
        if float(found["until"]) <= now:
            return Claim(key, await self._bucket.update(key, value, entry.revision), by)
        if found["state"] == State.IN_PROGRESS:
            return Elsewhere(float(found["until"]))
        return Before(_answer(found))


def _answer(found: dict[str, Any]) -> Answer:
    return Answer(found["status"], body=b64decode(found["body"]), content_type=str(found["type"]))
