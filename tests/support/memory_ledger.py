"""The ledger's part that the engine uses, in memory: fast, and breakable at will.

Frontiers are pickled at every commit, as a real ledger would encode them, and a history event that
is written twice is an error.
"""

from __future__ import annotations

import asyncio
import itertools
import pickle
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torpor.workflows.asl.events import ActivityStarted, HistoryEvent, Input
from torpor.workflows.asl.frontier import Status
from torpor.workflows.ledger.base import (
    ActivityTask,
    Admitted,
    AlreadyExists,
    Commit,
    Fenced,
    LedgerAway,
    NotFound,
    Owned,
    Posted,
    Stored,
)
from torpor.workflows.records import Execution, Machine

LOADED_AT_ONCE = 50


class MemoryLedger:
    """One store, shared by all the engines of a test."""

    def __init__(self, shards: int = 16, commit_seconds: float = 0.0) -> None:
        self.shards = shards
        self.commit_seconds = commit_seconds
        self.away = False
        self.lost_answers = 0
        """So many of the next commits are written, but their caller is told LedgerAway."""
        self.commits = 0
        self._machines: dict[tuple[str, str], Machine] = {}
        self._executions: dict[str, Execution] = {}
        self._frontiers: dict[str, bytes] = {}
        self._histories: dict[str, dict[tuple[str, int], HistoryEvent]] = {}
        self._inbox: dict[int, Posted] = {}
        self._ids = itertools.count(1)
        self._epochs: dict[int, int] = dict.fromkeys(range(shards), 0)
        self._leases: dict[int, tuple[str, float]] = {}
        self._live: dict[str, float] = {}
        self._dirty: set[int] = set()
        self._news = asyncio.Condition()
        self._listeners: dict[str, set[asyncio.Event]] = {}
        self._lanes: dict[str, dict[str, tuple[bool, float]]] = {}
        self._offers: dict[str, dict[tuple[str, int, int], ActivityTask]] = {}
        self._taken: set[tuple[str, int, int]] = set()

    # --- shards -------------------------------------------------------------------------------
    def shard_of(self, execution_arn: str) -> int:
        return zlib.crc32(execution_arn.encode()) % self.shards

    async def claim(self, owner: str, most: int, lease_seconds: float) -> list[Owned]:
        await self._answer()
        now = asyncio.get_running_loop().time()
        self._live[owner] = now + lease_seconds
        free = [s for s in range(self.shards) if self._leases.get(s, ("", 0.0))[1] <= now]
        for shard in free[:most]:
            self._epochs[shard] += 1
            self._leases[shard] = (owner, now + lease_seconds)
        return [Owned(shard, self._epochs[shard]) for shard in free[:most]]

    async def renew(self, owner: str, owned: Sequence[Owned], lease_seconds: float) -> list[Owned]:
        await self._answer()
        now = asyncio.get_running_loop().time()
        self._live[owner] = now + lease_seconds
        kept = [one for one in owned if self._epochs[one.shard] == one.epoch]
        for one in kept:
            self._leases[one.shard] = (owner, now + lease_seconds)
        return kept

    async def release(self, owner: str, owned: Sequence[Owned]) -> None:
        await self._answer()
        for one in owned:
            if self._epochs[one.shard] == one.epoch:
                self._leases.pop(one.shard, None)
        self._live.pop(owner, None)

    async def owners(self) -> Mapping[str, int]:
        await self._answer()
        now = asyncio.get_running_loop().time()
        held = [owner for owner, until in self._leases.values() if until > now]
        return {owner: held.count(owner) for owner, until in self._live.items() if until > now}

    def steal(self, shard: int) -> None:
        """Let another owner have a shard, behind the back of the one that runs it."""
        self._epochs[shard] += 1
        self._leases.pop(shard, None)

    # --- executions ---------------------------------------------------------------------------
    async def insert(self, execution: Execution) -> Execution:
        await self._answer()
        known = self._executions.get(execution.arn)
        if known is not None:
            if known.status is Status.RUNNING and known.input == execution.input:
                return known
            raise AlreadyExists(execution.arn)
        stored = replace(execution, shard=self.shard_of(execution.arn))
        self._executions[stored.arn] = stored
        await self._notify(stored.shard)
        return stored

    async def load(self, owned: Sequence[Owned]) -> AsyncIterator[list[Stored]]:
        await self._answer()
        shards = {one.shard for one in owned}
        lanes = self._waiting()
        served: set[str] = set()
        arns = []
        for arn, one in self._running():
            if one.shard in shards and lanes.get(arn, arn) not in served:
                served.add(lanes.get(arn, arn))
                arns.append(arn)
        for at in range(0, len(arns), LOADED_AT_ONCE):
            await self._answer()
            part = [self._stored(arn) for arn in arns[at : at + LOADED_AT_ONCE]]
            yield [stored for stored in part if stored.execution.status is Status.RUNNING]

    async def started(self, shards: Sequence[int]) -> AsyncIterator[list[Stored]]:
        await self._answer()
        waiting = self._waiting()
        yield [
            Stored(one, None)
            for arn, one in self._running()
            if one.shard in shards and arn not in self._frontiers and arn not in waiting
        ]

    async def load_one(self, execution_arn: str) -> Stored:
        await self._answer()
        return self._stored(execution_arn)

    async def posted(self, shards: Sequence[int]) -> list[Posted]:
        await self._answer()
        return [p for p in self._inbox.values() if self.shard_of(p.execution_arn) in shards]

    async def discard(self, ids: Sequence[int]) -> None:
        await self._answer()
        for id in ids:
            self._inbox.pop(id, None)

    async def post(self, execution_arn: str, event: Input) -> None:
        await self._answer()
        id = next(self._ids)
        self._inbox[id] = Posted(id, execution_arn, event)
        await self._notify(self.shard_of(execution_arn))

    async def commit(self, commit: Commit) -> None:
        frontier = pickle.dumps(commit.frontier)
        await asyncio.sleep(self.commit_seconds)
        await self._answer()
        if self._epochs[commit.owned.shard] != commit.owned.epoch:
            raise Fenced(f"shard {commit.owned.shard}")
        if self._is_open(commit):
            self._write(commit, frontier)
        for id in commit.consumed:
            self._inbox.pop(id, None)
        self.commits += 1
        if self.lost_answers:
            self.lost_answers -= 1
            raise LedgerAway("the connection was lost")

    def _is_open(self, commit: Commit) -> bool:
        now = self._executions[commit.execution_arn]
        if now.status in (Status.RUNNING, Status.SUCCEEDED):
            return now.status is Status.RUNNING
        return commit.frontier.redrive_count > now.redrive_count

    def _write(self, commit: Commit, frontier: bytes) -> None:
        history = self._histories.setdefault(commit.execution_arn, {})
        for event in commit.history:
            assert (event.scope, event.id) not in history, f"written twice: {event}"
            history[event.scope, event.id] = event
        self._frontiers[commit.execution_arn] = frontier
        self._update(commit, pickle.loads(frontier))
        if self._executions[commit.execution_arn].status is Status.SUCCEEDED:
            del self._frontiers[commit.execution_arn]

    def _update(self, commit: Commit, frontier: Any) -> None:
        old = self._executions[commit.execution_arn]
        ended = frontier.status is not Status.RUNNING
        last = commit.history[-1].at if commit.history else old.stopped_at
        self._executions[old.arn] = replace(
            old,
            status=frontier.status,
            output=frontier.output,
            error=frontier.error,
            cause=frontier.cause,
            redrive_count=frontier.redrive_count,
            stopped_at=last if ended else None,
        )
        if ended:
            self._tell(old.arn)
            for lane, places in self._lanes.items():
                if places.pop(old.arn, None) is not None:
                    self._tell(lane)

    async def wait_for_work(self, shards: Sequence[int], timeout_seconds: float) -> set[int]:
        await self._answer()
        try:
            async with asyncio.timeout(timeout_seconds), self._news:
                await self._news.wait_for(lambda: self._dirty & set(shards))
        except TimeoutError:
            return set()
        found = self._dirty & set(shards)
        self._dirty -= found
        return found

    def forget(self, arn: str) -> None:
        """What retention does to an execution that ended."""
        for kept in (self._executions, self._frontiers, self._histories):
            kept.pop(arn, None)

    @contextmanager
    def news(self, subject: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._listeners.setdefault(subject, set()).add(event)
        try:
            yield event
        finally:
            self._listeners[subject].discard(event)

    def _tell(self, subject: str) -> None:
        for event in self._listeners.get(subject, ()):
            event.set()

    async def admit(self, lane: str, most: int, entering: Sequence[tuple[str, float]]) -> Admitted:
        await self._answer()
        places = self._lanes.setdefault(lane, {})
        for arn, at in entering:
            if self._executions[arn].status is Status.RUNNING:
                places.setdefault(arn, (False, at))
        waiting = sorted((at, arn) for arn, (admitted, at) in places.items() if not admitted)
        room = max(0, most - (len(places) - len(waiting)))
        for at, arn in waiting[:room]:
            places[arn] = (True, at)
            await self._notify(self.shard_of(arn))
        placed = {arn for arn, _ in entering if places.get(arn, (False, 0.0))[0]}
        return Admitted(frozenset(placed), bool(waiting[room:]))

    def _waiting(self) -> dict[str, str]:
        """The lanes of the executions that wait for a place."""
        return {
            arn: lane
            for lane, places in self._lanes.items()
            for arn, (admitted, _) in places.items()
            if not admitted
        }

    async def offer(self, activity_arn: str, task: ActivityTask) -> None:
        await self._answer()
        line = self._offers.setdefault(activity_arn, {})
        line.setdefault((task.execution_arn, task.frame, task.ticket), task)
        self._tell(activity_arn)

    async def take(self, activity_arn: str, worker: str | None) -> ActivityTask | None:
        await self._answer()
        for key, task in self._offers.get(activity_arn, {}).items():
            if key not in self._taken:
                self._taken.add(key)
                await self.post(key[0], ActivityStarted(task.frame, task.ticket, worker))
                return task
        return None

    async def execution(self, arn: str) -> Execution:
        await self._answer()
        if arn not in self._executions:
            raise NotFound(arn)
        return self._executions[arn]

    @property
    def waiting(self) -> int:
        """Posted events that nobody has used up."""
        return len(self._inbox)

    def events(self, arn: str) -> list[HistoryEvent]:
        """The whole history of an execution, Map Run children apart."""
        history = self._histories.get(arn, {})
        return [event for (scope, _), event in sorted(history.items()) if not scope]

    def arns(self, machine: str) -> list[str]:
        """The executions of a machine, by its name."""
        return [arn for arn in self._executions if arn.split(":")[6] == machine]

    # --- machines -----------------------------------------------------------------------------
    async def put_machine(self, machine: Machine) -> Machine:
        self._machines[machine.arn, machine.revision_id] = machine
        return machine

    def forget_machine(self, arn: str) -> None:
        """Let a machine be gone, as one is that was deleted and runs nothing any more."""
        self._machines = {key: one for key, one in self._machines.items() if key[0] != arn}

    async def machine(self, arn: str) -> Machine:
        found = [one for (machine_arn, _), one in self._machines.items() if machine_arn == arn]
        if not found:
            raise NotFound(arn)
        return found[-1]

    async def revision(self, machine_arn: str, revision_id: str) -> Machine:
        await self._answer()
        return self._machines[machine_arn, revision_id]

    # --- inside -------------------------------------------------------------------------------
    def _running(self) -> list[tuple[str, Execution]]:
        return [(a, e) for a, e in self._executions.items() if e.status is Status.RUNNING]

    def _stored(self, arn: str) -> Stored:
        if arn not in self._executions:
            raise NotFound(arn)
        frontier = self._frontiers.get(arn)
        loaded = None if frontier is None else pickle.loads(frontier)
        if loaded is not None:
            loaded.touched.clear()
            loaded.arrived.clear()
        return Stored(self._executions[arn], loaded)

    async def _notify(self, shard: int) -> None:
        async with self._news:
            self._dirty.add(shard)
            self._news.notify_all()

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise LedgerAway("no connection")
