"""How an ARN becomes a key of the ledger, a shard, and a day. Pure."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

_DAY_SECONDS = 86_400


@lru_cache(maxsize=65_536)
def key_of(arn: str) -> UUID:
    """The key of an execution, Map Run or Map Run's child: 128 bits of a hash of its ARN."""
    return UUID(bytes=blake2b(arn.encode("utf-8", "surrogatepass"), digest_size=16).digest())


def shard_of(arn: str, shards: int) -> int:
    """The shard of an execution when there are `shards` of them."""
    return shard_of_key(key_of(arn), shards)


def shard_of_key(key: UUID, shards: int) -> int:
    """The shard of an execution by its key."""
    return (key.int >> 96) % shards


def day_of(seconds: float) -> int:
    """The number of the day (since 1970, UTC) of a time in seconds since the epoch."""
    return int(seconds // _DAY_SECONDS)
