"""A change of an object in a bucket, however it became known, and the event of it. Pure.

| attribute | is |
| --- | --- |
| type | `dev.torpor.storage.object.created` or `dev.torpor.storage.object.removed` |
| source | `s3://<bucket>` |
| subject | the object's key; percent-encoded if it has control characters |
| id | the same for the same change, told twice |
| time | when it happened; for removals found by looking, when that was found |
| data | `bucket`, `key`, `size`, `etag`, `versionId`, `sequencer`, `eventName` |
| traceparent | the object's metadata of that name, if the store tells it |
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

from torpor.errors import InvalidResource
from torpor.resources.fields import Fields
from torpor.triggers.event import Event, MalformedEvent, make_event
from torpor.triggers.event.rules import check_value
from torpor.triggers.sources.settings import choices
from torpor.triggers.sources.trace import traceparent

_FIRST_POLL_SECONDS: Final = 0.5
_LONGEST_POLL_SECONDS: Final = 3600.0
_BUCKET: Final = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]{0,62}")


class Operation(StrEnum):
    """What became of an object; overwriting is creating."""

    CREATED = "created"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """`told` tells apart changes that are alike otherwise. `time` is RFC 3339."""

    bucket: str
    key: str
    operation: Operation
    time: str
    told: str
    size_bytes: int | None = None
    etag: str | None = None
    version_id: str | None = None
    sequencer: str | None = None
    event_name: str | None = None
    traceparent: str | None = None

    def event(self) -> Event:
        """Return the event."""
        return make_event(
            id=self._id(),
            source=f"s3://{quote(self.bucket)}",
            type=f"dev.torpor.storage.object.{self.operation}",
            subject=_subject(self.key),
            time=self.time,
            data={
                "bucket": self.bucket,
                "key": self.key,
                "size": self.size_bytes,
                "etag": self.etag,
                "versionId": self.version_id,
                "sequencer": self.sequencer,
                "eventName": self.event_name,
            },
            extensions={"traceparent": self.traceparent},
        )

    def _id(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.key, self.operation, self.etag, self.version_id, self.told):
            encoded = (part or "").encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(4, "big") + encoded)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class StorageRule:
    """`spec.source.storage`. Without `poll_seconds` changes are told by notifications.

    `secret` says which store it is; without it the installation's.
    """

    bucket: str
    prefix: str
    suffix: str
    operations: frozenset[Operation]
    poll_seconds: float | None
    secret: str | None = None

    @property
    def scope(self) -> str:
        """Which objects it is about."""
        store = (self.secret,) if self.secret else ()
        return "\n".join((self.bucket, self.prefix, self.suffix, *store))

    def matches(self, change: ObjectChange) -> bool:
        """Whether a Trigger of this rule wants the change."""
        return change.bucket == self.bucket and self.wants(change.operation, change.key)

    def wants(self, operation: Operation, key: str) -> bool:
        """Whether a Trigger of this rule wants what happened to a key of its bucket."""
        return operation in self.operations and self.covers(key)

    def covers(self, key: str) -> bool:
        """Whether the key has the prefix and the suffix."""
        return key.startswith(self.prefix) and key.endswith(self.suffix)


def _subject(key: str) -> str:
    try:
        check_value("subject", key)
    except MalformedEvent:
        return quote(key)
    return key


def trace_in(metadata: Mapping[str, Any]) -> str | None:
    """Return the W3C trace context in an object's metadata, if there is one."""
    for name, value in metadata.items():
        if name.lower().removeprefix("x-amz-meta-") == "traceparent":
            return traceparent(value)
    return None


def _bucket(found: Fields) -> str:
    name = found.required_text("bucket")
    if not _BUCKET.fullmatch(name):
        problem = f"{name!r} is no bucket's name: it must match {_BUCKET.pattern}"
        raise InvalidResource("spec.source.storage.bucket", problem)
    return name


def read_rule(found: Fields) -> StorageRule:
    """Return the rule in `spec.source.storage`; InvalidResource names the bad field."""
    polling = found.has("pollSeconds")
    seconds = found.number(
        "pollSeconds", _FIRST_POLL_SECONDS, low=_FIRST_POLL_SECONDS, high=_LONGEST_POLL_SECONDS
    )
    return StorageRule(
        bucket=_bucket(found),
        prefix=found.text("prefix", ""),
        suffix=found.text("suffix", ""),
        operations=choices(found, "events", Operation, frozenset({Operation.CREATED})),
        poll_seconds=seconds if polling else None,
        secret=found.optional_text("secret"),
    )
