"""A bucket whose values end before the bucket's own time, and whose deletions leave nothing behind.

What is written for each event would fill the store otherwise: a bucket keeps a message for each key
that it ever had, deleted ones too. The broker ends each message by itself (`Nats-TTL`, ADR-43 of
NATS' architecture).
"""

from __future__ import annotations

import math

from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.kv import Bucket, is_deletion

DELETION_SECONDS = 60.0
"""How long a deletion can be seen: by watchers, which read all anew when they were away longer."""


class ExpiringBucket(Bucket):
    """One bucket. Each value lives `live_seconds` after its write, `ttl_seconds` at the most."""

    def __init__(
        self, connection: Connection, name: str, ttl_seconds: float, live_seconds: float
    ) -> None:
        super().__init__(connection, name, ttl_seconds)
        self._live_seconds = min(live_seconds, ttl_seconds)

    async def _write(self, key: str, value: bytes, headers: dict[str, str]) -> int:
        seconds = DELETION_SECONDS if is_deletion(headers) else self._live_seconds
        timed = {**headers, "Nats-TTL": f"{max(1, math.ceil(seconds))}s"}
        return await super()._write(key, value, timed)

    def _config(self) -> dict[str, object]:
        return {**super()._config(), "allow_msg_ttl": True}
