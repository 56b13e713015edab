"""Which Triggers have more bytes in their inboxes than their share of the store.

JetStream counts messages by subject, not bytes; they are estimated from some of the messages.
"""

from __future__ import annotations

from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.objects import LARGE_BYTES
from torpor.triggers.broker.reading import read_from
from torpor.triggers.broker.specs import StreamState
from torpor.triggers.broker.streams import Streams

_SAMPLES = 16


async def crowded(
    connection: Connection, streams: Streams, limit_bytes: int
) -> frozenset[tuple[str, str]]:
    """Return namespace and name of the Triggers whose inboxes have more than this.

    One request, as long as all together have less. Raises BrokerAway.
    """
    state = await streams.state(names.INBOX_STREAM)
    if not limit_bytes or state is None or state.size_bytes <= limit_bytes:
        return frozenset()
    counts = await streams.inbox_lag()
    many = [key for key, count in counts.items() if count * LARGE_BYTES > limit_bytes]
    means = {key: await _mean_bytes(connection, state, key) for key in many}
    return frozenset(key for key in many if counts[key] * means[key] > limit_bytes)


async def _mean_bytes(connection: Connection, state: StreamState, key: tuple[str, str]) -> float:
    subject = names.inbox_filter(*key)
    sizes: dict[int, int] = {}
    for number in range(_SAMPLES):
        seq = state.first_seq + number * (state.last_seq - state.first_seq) // _SAMPLES
        message = await read_from(connection, names.INBOX_STREAM, subject, seq)
        if message is not None:
            sizes[message.seq] = len(message.data)
    return sum(sizes.values()) / len(sizes) if sizes else 0.0
