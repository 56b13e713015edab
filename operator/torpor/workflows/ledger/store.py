"""What the parts of the ledger share: connections, days, and what is known to be stored."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from uuid import UUID

import asyncpg

from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.codec import Memory
from torpor.workflows.ledger.database import Database
from torpor.workflows.ledger.days import Days
from torpor.workflows.ledger.encoding import BlobKey
from torpor.workflows.ledger.keys import shard_of, shard_of_key
from torpor.workflows.ledger.notices import Notices
from torpor.workflows.ledger.unread import Unread
from torpor.workflows.ledger.values import stored_payload

_KNOWN_BLOBS = 50_000


class KnownBlobs:
    """Blobs that this process stored lately, so that they are not sent again. The oldest go."""

    def __init__(self) -> None:
        self._keys: OrderedDict[BlobKey, None] = OrderedDict()

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[BlobKey]) -> None:
        """These are stored now."""
        for key in keys:
            self._keys[key] = None
        while len(self._keys) > _KNOWN_BLOBS:
            self._keys.popitem(last=False)


class Store:
    """The base of the ledger's parts; `PostgresLedger` is all of them."""

    def __init__(self, database: Database, shards: int) -> None:
        self._database = database
        self._shards = shards
        self._days = Days(database)
        self._notices = Notices(database.dsn)
        self._memories: dict[UUID, Memory] = {}
        self._blobs = KnownBlobs()
        self._unread = Unread()

    @property
    def shards(self) -> int:
        """The number of virtual shards in force."""
        return self._shards

    def shard_of(self, execution_arn: str) -> int:
        """The shard of an execution: a hash of its ARN."""
        return shard_of(execution_arn, self._shards)

    def _forget(self, shards: set[int]) -> None:
        """These shards are others' now: what is known of their executions goes out of date."""
        if not shards:
            return
        for key in [key for key in self._memories if shard_of_key(key, self._shards) in shards]:
            del self._memories[key]


async def read_blobs(
    connection: asyncpg.Connection, keys: Iterable[BlobKey]
) -> dict[BlobKey, Payload]:
    """The payloads of these blobs."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    rows = await connection.fetch(
        "SELECT blob.day, blob.digest, blob.body FROM unnest($1::int[], $2::bytea[]) "
        "AS w (day, digest) JOIN blob USING (day, digest)",
        [day for day, _ in wanted],
        [digest for _, digest in wanted],
    )
    return {(row["day"], row["digest"]): stored_payload(row["body"]) for row in rows}
