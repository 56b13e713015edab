"""Where sources were, in a bucket of the broker."""

from __future__ import annotations

from torpor.resources.trigger import Trigger
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.kv import Bucket


class StoredPositions:
    """The positions of all Triggers. All methods raise BrokerAway."""

    def __init__(self, connection: Connection) -> None:
        self._bucket = Bucket(connection, names.BUCKET_POSITIONS)

    async def get(self, trigger: Trigger, name: str) -> bytes | None:
        """Return what was put last under this name for this Trigger, or None."""
        found = await self._bucket.get(_prefix(trigger) + name)
        return None if found is None else found.value

    async def put(self, trigger: Trigger, name: str, value: bytes) -> None:
        """Keep `value`."""
        await self._bucket.put(_prefix(trigger) + name, value)

    async def forget(self, trigger: Trigger) -> None:
        """Remove all that was put for a Trigger."""
        prefix = _prefix(trigger)
        for key in await self._bucket.keys():
            if key.startswith(prefix):
                await self._bucket.purge(key)


def _prefix(trigger: Trigger) -> str:
    """A Trigger that is made again under its name has another uid, and begins anew."""
    owner = trigger.uid or names.trigger_key(trigger.key.namespace, trigger.key.name)
    return f"{owner}."
