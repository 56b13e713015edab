"""Who owns which shard: leases by PostgreSQL's clock, and epochs that fence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torpor.workflows.ledger.base import Owned
from torpor.workflows.ledger.store import Store

_RENEW = """
WITH me AS (
    INSERT INTO owner (name, live_until)
    VALUES ($1, clock_timestamp() + make_interval(secs => $4))
    ON CONFLICT (name) DO UPDATE SET live_until = EXCLUDED.live_until
)
UPDATE shard SET lease_until = clock_timestamp() + make_interval(secs => $4)
FROM unnest($2::int[], $3::bigint[]) AS held (id, epoch)
WHERE shard.id = held.id AND shard.epoch = held.epoch AND shard.owner = $1
RETURNING shard.id, shard.epoch
"""
_RELEASE = """
UPDATE shard SET owner = NULL, lease_until = NULL
FROM unnest($2::int[], $3::bigint[]) AS held (id, epoch)
WHERE shard.id = held.id AND shard.epoch = held.epoch AND shard.owner = $1
"""
_OWNERS = """
SELECT owner.name, count(shard.id) AS shards
FROM owner LEFT JOIN shard ON shard.owner = owner.name AND shard.lease_until > clock_timestamp()
WHERE owner.live_until > clock_timestamp() GROUP BY owner.name
"""


class Shards(Store):
    """Claiming, renewing and giving up."""

    async def claim(self, owner: str, most: int, lease_seconds: float) -> list[Owned]:
        """Take up to `most` shards whose lease is free or has run out; each gets a new epoch."""
        rows = await self._database.rows(
            "SELECT * FROM torpor_claim($1, $2, $3)", owner, most, lease_seconds
        )
        return [Owned(shard, epoch) for shard, epoch in rows]

    async def renew(self, owner: str, owned: Sequence[Owned], lease_seconds: float) -> list[Owned]:
        """Extend leases; returns those still owned."""
        rows = await self._database.rows(_RENEW, owner, *_columns(owned), lease_seconds)
        kept = [Owned(shard, epoch) for shard, epoch in rows]
        self._forget({one.shard for one in owned} - {one.shard for one in kept})
        return kept

    async def release(self, owner: str, owned: Sequence[Owned]) -> None:
        """Give shards up at once, so that another process can claim them."""
        await self._database.rows(_RELEASE, owner, *_columns(owned))
        self._forget({one.shard for one in owned})

    async def owners(self) -> Mapping[str, int]:
        """Live owners and how many shards each has, 0 too."""
        rows = await self._database.rows(_OWNERS)
        return {row["name"]: row["shards"] for row in rows}


def _columns(owned: Sequence[Owned]) -> tuple[list[int], list[int]]:
    return [one.shard for one in owned], [one.epoch for one in owned]
