"""Frontiers as rows; `decoding` is the way back. Pure.

A commit encodes what changed and nothing else: the touched frames, the results that arrived. What
is in neither is derived when a frontier is loaded: which children run, where a Map goes on.
`Memory` is what the encoder must know of earlier commits to keep it so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torpor.workflows.asl.frontier import Frame, Frontier, Join, Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.scope import Json
from torpor.workflows.ledger.values import Blobs, dump, fragment, put

Items = tuple[list[Json] | None, list[int] | None]


class FrameRow(NamedTuple):
    """A row of `frame`."""

    frame: int
    phase: str
    due: float | None
    body: bytes


class ResultRow(NamedTuple):
    """A row of `join_result`: the outcome of a child of a frame."""

    frame: int
    child: int
    body: bytes


class HeaderRow(NamedTuple):
    """A row of `frontier`."""

    next_frame: int
    next_ticket: int
    deadline: float | None


@dataclass(frozen=True, slots=True)
class StoredItems:
    """The items of a Map as they were given, and the reference under which they are stored."""

    items: list[Json]
    reference: Mapping[str, Any]


class OpenRun(NamedTuple):
    """A running Map Run as its row stands."""

    arn: str
    total: int
    max_concurrency: int
    tolerated_count: float | None
    tolerated_percentage: float | None


def open_run(join: Join) -> OpenRun:
    """The row of a Map Run that a state waits for."""
    assert join.map_run is not None, "only Map Runs are asked for"
    return OpenRun(
        join.map_run,
        join.total,
        join.max_concurrency,
        join.tolerated_count,
        join.tolerated_percentage,
    )


@dataclass(frozen=True, slots=True)
class Memory:
    """What earlier commits of an execution left in the ledger that a later one must know.

    `joined` are the frames with stored results, `items` the stored items of Maps by frame, `runs`
    the open Map Runs by frame as they were stored.
    """

    begun: bool = False
    joined: frozenset[int] = frozenset()
    items: Mapping[int, StoredItems] = field(default_factory=dict)
    runs: Mapping[int, OpenRun] = field(default_factory=dict)


@dataclass(slots=True)
class Delta:
    """The rows that bring the stored frontier up to date."""

    header: HeaderRow
    frames: list[FrameRow]
    removed: list[int]
    results: list[ResultRow]
    forgotten: list[tuple[int, int]]
    cleared: list[int]
    joined: frozenset[int]
    items: dict[int, StoredItems]


def encode(frontier: Frontier, memory: Memory, blobs: Blobs) -> Delta:
    """What changed since the last commit: `touched` frames and `arrived` results."""
    items = dict(memory.items)
    frames: list[FrameRow] = []
    removed: list[int] = []
    for id in _changed(frontier):
        frame = frontier.frames.get(id)
        if frame is None or frame.join is None:
            items.pop(id, None)
        if frame is None:
            removed.append(id)
        else:
            frames.append(_frame_row(frame, frontier, items, blobs))
    results, forgotten = _arrived(frontier, blobs)
    cleared = [id for id in memory.joined if join_at(frontier, id) is None]
    joined = memory.joined.difference(cleared).union(row.frame for row in results)
    header = HeaderRow(frontier.next_frame, frontier.next_ticket, frontier.deadline)
    return Delta(header, frames, removed, results, forgotten, cleared, joined, items)


def _changed(frontier: Frontier) -> set[int]:
    """The frames to write: a failure or a result moves those above it on in the history, too."""
    changed = frontier.touched.union(parent for parent, _ in frontier.arrived)
    if frontier.status not in (Status.RUNNING, Status.SUCCEEDED):
        changed |= frontier.frames.keys()
    return changed


def join_at(frontier: Frontier, id: int) -> Join | None:
    """The join of a frame, None without one."""
    frame = frontier.frames.get(id)
    return None if frame is None else frame.join


def _arrived(frontier: Frontier, blobs: Blobs) -> tuple[list[ResultRow], list[tuple[int, int]]]:
    rows: list[ResultRow] = []
    forgotten: list[tuple[int, int]] = []
    for id, index in dict.fromkeys(frontier.arrived):
        join = join_at(frontier, id)
        if join is None:
            continue
        if index in join.results:
            rows.append(ResultRow(id, index, dump(put(join.results[index], blobs) or {})))
        elif index in join.failed:
            rows.append(ResultRow(id, index, dump({"failed": fragment(list(join.failed[index]))})))
        else:
            forgotten.append((id, index))
    return rows, forgotten


def _frame_row(
    frame: Frame, frontier: Frontier, items: dict[int, StoredItems], blobs: Blobs
) -> FrameRow:
    body: dict[str, Any] = {
        "parent": frame.parent,
        "index": frame.index,
        "block": frame.block,
        "state": frame.state,
        "input": put(frame.input, blobs),
        "log": frame.log.owner,
        "ticket": frame.ticket,
        "entered": (frame.entered_event, frame.entered_at),
        "last": frame.last_event,
    }
    if frame.log.owner == frame.id:
        body["scope"], body["next"] = frame.log.scope, frame.log.next_id
    if frame.variables:
        body["variables"] = put(Payload(frame.variables), blobs)
    if frame.outer:
        body["outer"] = put(Payload(frame.outer), blobs)
    if frame.retries or frame.retry_count:
        body["retries"] = (list(frame.retries.items()), frame.retry_count)
    if frame.timeout is not None or frame.heartbeat is not None:
        body["limits"] = (frame.timeout, frame.heartbeat)
    if frame.argument is not None:
        body["argument"] = put(frame.argument, blobs)
    if frame.join is not None:
        body["join"] = _encode_join(frame.id, frame.join, items, blobs)
    if frame.item is not None:
        body["item"] = _encode_item(frame, frame.item, frontier, blobs)
    return FrameRow(frame.id, frame.phase.value, frame.due, dump(body))


def _encode_join(
    id: int, join: Join, items: dict[int, StoredItems], blobs: Blobs
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "total": join.total,
        "most": join.max_concurrency,
        "last": join.last_event,
        "tolerated": (join.tolerated_count, join.tolerated_percentage),
        "run": join.map_run,
    }
    if join.items is not None:
        known = items.get(id)
        if known is None or known.items is not join.items:
            document = Payload({"items": join.items, "weights": join.weights})
            known = items[id] = StoredItems(join.items, put(document, blobs) or {})
        body["items"] = known.reference
    return body


def _encode_item(
    frame: Frame, item: tuple[int, Json], frontier: Frontier, blobs: Blobs
) -> dict[str, Any] | None:
    """A Map's item is in its items already: it is stored again only when it is from elsewhere."""
    parent = None if frame.parent is None else frontier.frames.get(frame.parent)
    index, value = item
    if parent is not None and parent.item is item:
        return {"as": "parent"}
    among = None if parent is None or parent.join is None else parent.join.items
    if among is not None and index < len(among) and among[index] is value:
        return {"at": index}
    return {"at": index, "value": put(Payload(value), blobs)}
