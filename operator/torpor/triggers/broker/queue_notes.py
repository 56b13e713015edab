"""What is noted of a queue beside its messages: in the metadata of its stream, ended with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from torpor.triggers.broker.api import call
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import STREAM_NOT_FOUND, BrokerRefused

_NAME = "torpor.queue"


@dataclass(frozen=True, slots=True)
class QueueNotes:
    """`text` is what was noted, empty at first; `created_seconds` is Unix time."""

    text: str
    created_seconds: float
    messages: int


async def read_notes(connection: Connection, stream: str) -> QueueNotes | None:
    """Return the notes of a queue's stream, None if there is none. Raises BrokerAway."""
    try:
        found = await call(connection, f"STREAM.INFO.{stream}")
    except BrokerRefused as error:
        if error.err_code != STREAM_NOT_FOUND:
            raise
        return None
    created = datetime.fromisoformat(found["created"][:19] + "+00:00")
    text = (found["config"].get("metadata") or {}).get(_NAME, "")
    return QueueNotes(text, created.timestamp(), found["state"]["messages"])


async def write_notes(connection: Connection, stream: str, text: str) -> None:
    """Note a text. Raises BrokerAway, and BrokerRefused when the queue is gone."""
    config = (await call(connection, f"STREAM.INFO.{stream}"))["config"]
    metadata = {**(config.get("metadata") or {}), _NAME: text}
    await call(connection, f"STREAM.UPDATE.{stream}", {**config, "metadata": metadata})
