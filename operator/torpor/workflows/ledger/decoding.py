"""Rows as frontiers: what a process that takes over an execution needs. Pure.

What no row holds is derived: which children run, and at which item a Map goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torpor.workflows.asl.frontier import Frame, Frontier, Identity, Join, Log, Phase, Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.scope import Json
from torpor.workflows.ledger.codec import (
    FrameRow,
    HeaderRow,
    Memory,
    OpenRun,
    ResultRow,
    StoredItems,
    join_at,
    open_run,
)
from torpor.workflows.ledger.values import digests, get, parse, reput


@dataclass(slots=True)
class Rows:
    """The stored rows of one frontier, bodies parsed."""

    header: HeaderRow
    frames: list[tuple[FrameRow, dict[str, Any]]] = field(default_factory=list)
    results: list[tuple[int, int, dict[str, Any]]] = field(default_factory=list)

    def add_frame(self, row: FrameRow) -> None:
        """Take in a row of `frame`."""
        self.frames.append((row, parse(row.body)))

    def add_result(self, row: ResultRow) -> None:
        """Take in a row of `join_result`."""
        self.results.append((row.frame, row.child, parse(row.body)))

    def digests(self) -> Iterable[bytes]:
        """The blobs that are needed to decode."""
        for _, body in self.frames:
            for name in ("input", "variables", "outer", "argument"):
                yield from digests(body.get(name))
            yield from digests((body.get("join") or {}).get("items"))
            yield from digests((body.get("item") or {}).get("value"))
        for _, _, body in self.results:
            yield from digests(body)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far an execution is, from its row in `execution`."""

    status: Status
    output: Payload | None
    error: str | None
    cause: str | None
    redrive_count: int


def decode(
    rows: Rows, identity: Identity, outcome: Outcome, bodies: Mapping[bytes, Payload]
) -> tuple[Frontier, Memory]:
    """The frontier of these rows, and what the next encoding must know."""
    frontier = Frontier(
        identity,
        next_frame=rows.header.next_frame,
        next_ticket=rows.header.next_ticket,
        deadline=rows.header.deadline,
        status=outcome.status,
        output=outcome.output,
        error=outcome.error,
        cause=outcome.cause,
        redrive_count=outcome.redrive_count,
    )
    ordered = sorted(rows.frames, key=lambda pair: pair[0].frame)
    logs = {row.frame: _log(row.frame, body) for row, body in ordered if "scope" in body}
    items: dict[int, StoredItems] = {}
    for row, body in ordered:
        frame = _frame(row, body, logs[body["log"]], bodies)
        frame.item = _item(frame, body.get("item"), frontier, bodies)
        if frame.join is not None and frame.join.items is not None:
            items[frame.id] = StoredItems(frame.join.items, reput(body["join"]["items"]))
        frontier.frames[frame.id] = frame
    _take_results(frontier, rows.results, bodies)
    _derive(frontier)
    return frontier, Memory(True, frozenset(row[0] for row in rows.results), items, _runs(frontier))


def _log(id: int, body: Mapping[str, Any]) -> Log:
    return Log(body["scope"], id, body["next"])


def _frame(
    row: FrameRow, body: Mapping[str, Any], log: Log, bodies: Mapping[bytes, Payload]
) -> Frame:
    retries, retry_count = body.get("retries", ((), 0))
    timeout, heartbeat = body.get("limits", (None, None))
    return Frame(
        row.frame,
        body["parent"],
        body["index"],
        body["block"],
        body["state"],
        get(body["input"], bodies),
        log,
        variables=_variables(body.get("variables"), bodies),
        outer=_variables(body.get("outer"), bodies),
        phase=Phase(row.phase),
        ticket=body["ticket"],
        entered_event=body["entered"][0],
        entered_at=body["entered"][1],
        last_event=body["last"],
        retries=dict(retries),
        retry_count=retry_count,
        due=row.due,
        timeout=timeout,
        heartbeat=heartbeat,
        argument=get(body["argument"], bodies) if "argument" in body else None,
        join=_decode_join(body["join"], bodies) if "join" in body else None,
    )


def _variables(document: Any, bodies: Mapping[bytes, Payload]) -> dict[str, Json]:
    return {} if document is None else dict(get(document, bodies).value)


def _decode_join(body: Mapping[str, Any], bodies: Mapping[bytes, Payload]) -> Join:
    stored = get(body["items"], bodies).value if "items" in body else {}
    return Join(
        body["total"],
        body["most"],
        stored.get("items"),
        tolerated_count=body["tolerated"][0],
        tolerated_percentage=body["tolerated"][1],
        weights=stored.get("weights"),
        last_event=body["last"],
        map_run=body["run"],
    )


def _item(
    frame: Frame,
    body: Mapping[str, Any] | None,
    frontier: Frontier,
    bodies: Mapping[bytes, Payload],
) -> tuple[int, Json] | None:
    if body is None:
        return None
    parent = None if frame.parent is None else frontier.frames.get(frame.parent)
    if body.get("as") == "parent" and parent is not None:
        return parent.item
    index: int = body["at"]
    if "value" in body:
        return index, get(body["value"], bodies).value
    join = None if parent is None else parent.join
    assert join is not None, "the item is in the join above"
    assert join.items is not None, "only a Map's children have items"
    return index, join.items[index]


def _take_results(
    frontier: Frontier,
    results: Sequence[tuple[int, int, dict[str, Any]]],
    bodies: Mapping[bytes, Payload],
) -> None:
    for id, index, body in results:
        join = join_at(frontier, id)
        if join is None:
            continue
        if "failed" in body:
            error, cause = body["failed"]
            join.failed[index] = (error, cause)
        else:
            join.results[index] = get(body, bodies)


def _derive(frontier: Frontier) -> None:
    """Children start in the order of their index: a Map goes on at the first without a trace."""
    children: dict[int, set[int]] = {}
    for frame in frontier.frames.values():
        if frame.parent is not None:
            children.setdefault(frame.parent, set()).add(frame.index)
    for frame in frontier.frames.values():
        if frame.join is None:
            continue
        join, below = frame.join, children.get(frame.id, set())
        join.running = len(below)
        if join.items is not None:
            seen = below | join.results.keys() | join.failed.keys()
            join.next_index = next((at for at in range(join.total) if at not in seen), join.total)


def _runs(frontier: Frontier) -> dict[int, OpenRun]:
    return {
        frame.id: open_run(frame.join)
        for frame in frontier.frames.values()
        if frame.join is not None and frame.join.map_run is not None
    }
