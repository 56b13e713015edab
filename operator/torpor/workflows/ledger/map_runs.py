"""Map Runs and their children as rows, from what a commit's history and joins say. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from torpor.workflows.asl.events import HistoryEvent
from torpor.workflows.asl.frontier import Frontier, Join, Status
from torpor.workflows.ledger.base import Commit
from torpor.workflows.ledger.codec import Memory, OpenRun, open_run
from torpor.workflows.ledger.keys import key_of

_CHILD_STATUS = {
    "ExecutionStarted": Status.RUNNING,
    "ExecutionSucceeded": Status.SUCCEEDED,
    "ExecutionFailed": Status.FAILED,
    "ExecutionAborted": Status.ABORTED,
}
_RUN_STATUS = {"MapRunSucceeded": Status.SUCCEEDED, "MapRunFailed": Status.FAILED}


class RunRow(NamedTuple):
    """A row of `map_run`."""

    key: UUID
    arn: str
    frame: int
    day: int
    status: str
    started_at: float
    stopped_at: float | None
    max_concurrency: int
    tolerated_count: float
    tolerated_percentage: float
    total: int


class ChildRow(NamedTuple):
    """What a row of `map_child` becomes."""

    run: UUID
    child: int
    status: str
    at: float


def last_time(commit: Commit) -> float:
    """When the step happened."""
    return max((event.at for event in commit.history), default=commit.frontier.identity.started_at)


def child_rows(history: Iterable[HistoryEvent]) -> Iterable[ChildRow]:
    """Children of Map Runs that started or ended; one that did both has a row for each."""
    rows: dict[str, ChildRow] = {}
    started: dict[str, ChildRow] = {}
    for event in history:
        status = _CHILD_STATUS.get(event.type) if event.scope else None
        if status is None:
            continue
        run, _, index = event.scope.rpartition(":")
        row = ChildRow(key_of(run), int(index), status.value, event.at)
        (started if status is Status.RUNNING else rows)[event.scope] = row
    yield from started.values()
    yield from rows.values()


def run_rows(commit: Commit, memory: Memory, day: int) -> tuple[list[RunRow], dict[int, OpenRun]]:
    """Rows of Map Runs that began, changed or ended, and those that are open now."""
    frontier, rows = commit.frontier, []
    joins = dict(_open_joins(commit))
    begun = [event for event in commit.history if event.type == "MapRunStarted"]
    now_open = dict(memory.runs)
    if not joins and not begun and not now_open:
        return [], {}
    ended_as = _ended_as(commit)
    for id, run in memory.runs.items():
        if not _still_open(frontier, id, run.arn):
            rows.append(_run_row(run.arn, id, day, ended_as, last_time(commit), None, run.total))
            del now_open[id]
    for id, join in joins.items():
        run = open_run(join)
        if now_open.get(id) != run or _redriven(commit):
            at = last_time(commit)
            rows.append(_run_row(run.arn, id, day, Status.RUNNING, at, join, run.total))
            now_open[id] = run
    known = {row.arn for row in rows} | {run.arn for run in memory.runs.values()}
    for event in begun:
        arn = event.details["mapRunArn"]
        if arn not in known:
            children = {row.child for row in child_rows(commit.history) if row.run == key_of(arn)}
            rows.append(_run_row(arn, -1, day, ended_as, event.at, None, len(children)))
    if frontier.status is not Status.RUNNING:
        rows = [_ended(row, ended_as, commit) for row in rows]
        rows += [
            _run_row(run.arn, id, day, ended_as, last_time(commit), None, run.total)
            for id, run in now_open.items()
            if run.arn not in {row.arn for row in rows}
        ]
    return rows, now_open


def _ended(row: RunRow, status: Status, commit: Commit) -> RunRow:
    if row.status != Status.RUNNING:
        return row
    return row._replace(status=status.value, stopped_at=last_time(commit))


def _redriven(commit: Commit) -> bool:
    return any(event.type == "ExecutionRedriven" for event in commit.history)


def _open_joins(commit: Commit) -> Iterable[tuple[int, Join]]:
    frames = commit.frontier.frames
    for id in commit.frontier.touched:
        join = frames[id].join if id in frames else None
        if join is not None and join.map_run is not None:
            yield id, join


def _still_open(frontier: Frontier, id: int, arn: str) -> bool:
    frame = frontier.frames.get(id)
    return frame is not None and frame.join is not None and frame.join.map_run == arn


def _ended_as(commit: Commit) -> Status:
    """How Map Runs ended in this commit: as their event says, as the execution did, or stopped."""
    for event in reversed(commit.history):
        if event.type in _RUN_STATUS:
            return _RUN_STATUS[event.type]
    status = commit.frontier.status
    return status if status in (Status.TIMED_OUT, Status.FAILED) else Status.ABORTED


def _run_row(
    arn: str, id: int, day: int, status: Status, at: float, join: Join | None, total: int
) -> RunRow:
    stopped_at = None if status is Status.RUNNING else at
    return RunRow(
        key_of(arn),
        arn,
        id,
        day,
        status.value,
        at,
        stopped_at,
        0 if join is None else join.max_concurrency,
        0.0 if join is None else join.tolerated_count or 0.0,
        0.0 if join is None else join.tolerated_percentage or 0.0,
        total,
    )
