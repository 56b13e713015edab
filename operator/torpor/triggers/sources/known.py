"""What a source that looks at lists has seen: for each key a mark that changes with the thing.

Kept in the Trigger's positions in shards by hash of the key, of which only those are written that
changed, so that 100,000 keys fit into values of a few KiB.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Final

import orjson

from torpor.resources.trigger import Trigger
from torpor.triggers.base import Positions, SourceMisconfigured

MOST_KEYS: Final = 100_000
_SHARDS: Final = 64
_BEGUN: Final = "known"


class Known:
    """Keys and their marks within a scope, such as a bucket and a prefix.

    Nothing is durable before `save`. What was saved in another scope does not count.
    """

    def __init__(self, trigger: Trigger, positions: Positions, scope: str) -> None:
        self._trigger = trigger
        self._positions = positions
        self._scope = scope.encode()
        self._shards: list[dict[str, str]] = [{} for _ in range(_SHARDS)]
        self._dirty: set[int] = set()
        self._begun = False
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        for shard in self._shards:
            yield from shard

    @property
    def begun(self) -> bool:
        """Whether something, if only nothing, was saved before: else all there is is no news."""
        return self._begun

    async def load(self) -> None:
        """Read what was saved last."""
        self._begun = await self._positions.get(self._trigger, _BEGUN) == self._scope
        if not self._begun:
            return
        for number in range(_SHARDS):
            kept = await self._positions.get(self._trigger, _name(number))
            self._shards[number] = {} if kept is None else _unpacked(kept)
        self._count = sum(len(shard) for shard in self._shards)

    async def save(self) -> None:
        """Make durable what was changed up to now, and nothing that is changed meanwhile."""
        if not self._begun:
            self._dirty.update(range(_SHARDS))  # of another scope there may be any
        packed = {number: _packed(self._shards[number]) for number in sorted(self._dirty)}
        self._dirty.clear()
        try:
            for number, value in packed.items():
                await self._positions.put(self._trigger, _name(number), value)
        except BaseException:
            self._dirty.update(packed)
            raise
        if not self._begun:
            await self._begin()

    def mark(self, key: str) -> str | None:
        """Return the key's mark, or None."""
        return self._shards[_shard(key)].get(key)

    def put(self, key: str, mark: str) -> None:
        """Give the key a mark; SourceMisconfigured above MOST_KEYS."""
        number = _shard(key)
        shard = self._shards[number]
        if shard.get(key) == mark:
            return
        if key not in shard:
            self._grow()
        shard[key] = mark
        self._dirty.add(number)

    def drop(self, key: str) -> None:
        """Forget the key."""
        number = _shard(key)
        if self._shards[number].pop(key, None) is not None:
            self._dirty.add(number)
            self._count -= 1

    async def _begin(self) -> None:
        await self._positions.put(self._trigger, _BEGUN, self._scope)
        self._begun = True

    def _grow(self) -> None:
        if self._count >= MOST_KEYS:
            raise SourceMisconfigured(f"more than {MOST_KEYS} to watch: narrow the selection")
        self._count += 1


def _shard(key: str) -> int:
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) % _SHARDS


def _name(number: int) -> str:
    return f"{_BEGUN}.{number:02}"


def _packed(shard: dict[str, str]) -> bytes:
    return zlib.compress(orjson.dumps(shard), 1)


def _unpacked(kept: bytes) -> dict[str, str]:
    found: dict[str, Any] = orjson.loads(zlib.decompress(kept))
    return {key: str(mark) for key, mark in found.items()}
