"""Objects made and removed in a bucket: `spec.source.storage`.

Without `pollSeconds` the store posts its notifications to Torpor's API, which hands them to the
Triggers that want them: nothing has to be read here. With it the bucket is listed that often, and
what changed since the last look is told; what is there when a Trigger is new is no news. Changes
between two looks are one. The events are those of `storage_change`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime

from torpor.resources.trigger import Trigger
from torpor.triggers.base import Received, SourceMisconfigured, SourceWorld
from torpor.triggers.sources.known import Known
from torpor.triggers.sources.outstanding import Outstanding
from torpor.triggers.sources.settings import settings_of
from torpor.triggers.sources.storage_access import read_access
from torpor.triggers.sources.storage_change import ObjectChange, Operation, StorageRule, read_rule
from torpor.triggers.sources.storage_listing import HEADS, Bucket, Seen, rfc3339


class NotifiedSource:
    """Yields nothing: the API brings what the store notifies of."""

    exclusive = False

    def __init__(self, world: SourceWorld) -> None:
        self._world = world

    async def subscribe(self) -> AsyncIterator[Received]:
        """Wait until closed."""
        self._world.subscribed()
        await asyncio.Event().wait()
        return
        yield  # makes this an iterator


class PolledSource:
    """Compares what a bucket holds with what it held."""

    exclusive = True

    def __init__(self, trigger: Trigger, world: SourceWorld, rule: StorageRule) -> None:
        self._trigger = trigger
        self._world = world
        self._rule = rule

    async def subscribe(self) -> AsyncIterator[Received]:
        """Yield what changed between two looks, the oldest first."""
        known = Known(self._trigger, self._world.positions, self._rule.scope)
        await known.load()
        bucket, outstanding = await self._bucket(), Outstanding()
        while True:
            began = self._world.wall()
            objects = await bucket.objects()
            if known.begun:
                self._world.subscribed()
                async with aclosing(self._changes(known, bucket, objects)) as changes:
                    async for change in changes:
                        yield outstanding.received(change.event())
                await outstanding.settle()
            _learn(known, objects)
            await known.save()
            self._world.subscribed()
            # A bucket that takes long to list is listed half of the time at most.
            took = self._world.wall() - began
            await self._world.sleep(max(self._rule.poll_seconds or 0, took))

    async def _bucket(self) -> Bucket:
        """Of the Secret's store; where buckets are folders there is no other store."""
        url, secret = self._world.objects_url, self._rule.secret
        if secret is None or url.startswith("file:"):
            return Bucket(url, self._rule)
        access = await read_access(self._trigger, self._world.secrets, secret)
        return Bucket(url, self._rule, access)

    async def _changes(
        self, known: Known, bucket: Bucket, objects: Mapping[str, Seen]
    ) -> AsyncGenerator[ObjectChange]:
        """Yield the removals, then what was created, the oldest first."""
        if Operation.REMOVED in self._rule.operations:
            for key in known:
                if key not in objects:
                    yield self._removed(known, key)
        if Operation.CREATED not in self._rule.operations:
            return
        new = [seen for seen in objects.values() if known.mark(seen.key) != seen.mark]
        new.sort(key=lambda seen: (seen.modified, seen.key))
        for start in range(0, len(new), HEADS):
            for change in await bucket.traced(new[start : start + HEADS]):
                yield change

    def _removed(self, known: Known, key: str) -> ObjectChange:
        return ObjectChange(
            bucket=self._rule.bucket,
            key=key,
            operation=Operation.REMOVED,
            time=rfc3339(datetime.fromtimestamp(self._world.wall(), UTC)),
            told=known.mark(key) or "",
        )


def open_source(trigger: Trigger, world: SourceWorld) -> NotifiedSource | PolledSource:
    """Return the source; SourceMisconfigured says what to write."""
    with settings_of(trigger) as found:
        rule = read_rule(found)
    if rule.poll_seconds is None:
        return NotifiedSource(world)
    if not world.objects_url and rule.secret is None:
        raise SourceMisconfigured(
            "spec.source.storage.pollSeconds needs an object store, and none is configured: "
            "name a Secret with the store's address and keys in spec.source.storage.secret, "
            "or have the store send its notifications and remove pollSeconds"
        )
    return PolledSource(trigger, world, rule)


def _learn(known: Known, objects: Mapping[str, Seen]) -> None:
    for key in [key for key in known if key not in objects]:
        known.drop(key)
    for key, seen in objects.items():
        known.put(key, seen.mark)
