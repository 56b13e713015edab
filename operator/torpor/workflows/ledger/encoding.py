"""A commit as the rows that it writes, in all tables. Pure.

Encoded at the moment of the call, because the frontier goes on changing after it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from uuid import UUID

from torpor.workflows.asl.context import child_execution_arn
from torpor.workflows.asl.events import HistoryEvent
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.base import Commit
from torpor.workflows.ledger.codec import Delta, Memory, encode
from torpor.workflows.ledger.keys import day_of, key_of
from torpor.workflows.ledger.map_runs import ChildRow, RunRow, child_rows, last_time, run_rows
from torpor.workflows.ledger.values import (
    Blobs,
    dump,
    encode_text,
    fragment,
    is_large,
    plain,
)

BlobKey = tuple[int, bytes]
"""Day and digest."""


class EventRow(NamedTuple):
    """A row of `history`."""

    key: UUID
    id: int
    previous: int
    type: str
    at: float
    details: bytes
    large: bytes | None


class StatusRow(NamedTuple):
    """What changes in `execution` when it ends or is redriven."""

    status: str
    stopped_at: float | None
    output: bytes | None
    output_digest: bytes | None
    error: str | None
    cause: str | None
    redrive_count: int
    redriven_at: float | None


@dataclass(slots=True)
class Encoded:
    """Everything that one commit writes."""

    key: UUID
    shard: int
    epoch: int
    day: int
    first: bool
    delta: Delta
    history: list[EventRow]
    status: StatusRow | None
    runs: list[RunRow]
    children: list[ChildRow]
    consumed: Sequence[int]
    blobs: Blobs
    after: Memory | None
    """What the next commit's encoder must know; None when the execution ended for good."""

    def size_bytes(self, stored: Container[BlobKey]) -> int:
        """About how much is sent when these blobs are stored already."""
        frames = sum(len(row.body) for row in self.delta.frames)
        results = sum(len(row.body) for row in self.delta.results)
        events = sum(len(row.details) for row in self.history)
        blobs = sum(
            len(payload.text)
            for digest, payload in self.blobs.bodies.items()
            if (self.day, digest) not in stored
        )
        return frames + results + events + blobs


def encode_commit(commit: Commit, memory: Memory) -> Encoded:
    """The rows of one commit, given what earlier ones left."""
    frontier, blobs = commit.frontier, Blobs()
    key, day = key_of(commit.execution_arn), day_of(frontier.identity.started_at)
    delta = encode(frontier, memory, blobs)
    history = [_event_row(key, event, blobs) for event in commit.history]
    runs, open_runs = run_rows(commit, memory, day)
    over = frontier.status is Status.SUCCEEDED
    return Encoded(
        key,
        commit.owned.shard,
        commit.owned.epoch,
        day,
        not memory.begun,
        delta,
        history,
        _status_row(commit, blobs),
        runs,
        list(child_rows(commit.history)),
        commit.consumed,
        blobs,
        None if over else replace(_remembered(delta), runs=open_runs),
    )


def _remembered(delta: Delta) -> Memory:
    return Memory(True, delta.joined, delta.items)


def _event_row(key: UUID, event: HistoryEvent, blobs: Blobs) -> EventRow:
    if event.scope:
        key = key_of(child_execution_arn(event.scope))
    details: dict[str, Any] = {}
    large: dict[str, str] = {}
    for name, value in event.details.items():
        if not isinstance(value, Payload):
            details[name] = value if isinstance(value, int | None) else fragment(value)
        elif is_large(value):
            large[name] = blobs.add(value).hex()
        else:
            details[name] = fragment(value.text)
    return EventRow(
        key,
        event.id,
        event.previous,
        event.type,
        event.at,
        dump(details),
        dump(large) if large else None,
    )


def _status_row(commit: Commit, blobs: Blobs) -> StatusRow | None:
    frontier = commit.frontier
    redriven = [event.at for event in commit.history if event.type == "ExecutionRedriven"]
    running = frontier.status is Status.RUNNING
    if running and not redriven:
        return None
    output, digest = inline_or_digest(frontier.output, blobs)
    return StatusRow(
        frontier.status.value,
        None if running else last_time(commit),
        output,
        digest,
        plain(frontier.error),
        plain(frontier.cause),
        frontier.redrive_count,
        redriven[-1] if redriven else None,
    )


def inline_or_digest(payload: Payload | None, blobs: Blobs) -> tuple[bytes | None, bytes | None]:
    """A payload as two columns: its text, or its digest when it is large."""
    if payload is None:
        return None, None
    if is_large(payload):
        return None, blobs.add(payload)
    return encode_text(payload.text), None
