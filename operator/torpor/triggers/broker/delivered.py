"""What a delivered message's reply subject tells of it (ADR-15 of NATS' architecture)."""

from __future__ import annotations

from dataclasses import dataclass

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Delivered:
    """`times` counts deliveries from 1; `pending`: messages that the consumer has yet to get."""

    stream: str
    times: int
    stream_seq: int
    consumer_seq: int
    stored_seconds: float
    pending: int


def read_reply(reply: str) -> Delivered:
    """Read `$JS.ACK.[domain.account.]stream.consumer.times.seq.seq.time.pending[.random]`."""
    words = reply.split(".")
    if len(words) > 9:
        words = words[:2] + words[4:]
    return Delivered(
        stream=words[2],
        times=int(words[4]),
        stream_seq=int(words[5]),
        consumer_seq=int(words[6]),
        stored_seconds=int(words[7]) / _NANOSECONDS,
        pending=int(words[8]),
    )
