"""What the engine and the API ask of the ledger, and the errors it answers with.

One implementation: `ledger.postgres`. Every write of an execution carries its shard's epoch, and
the ledger refuses it when another process has taken the shard since (`Fenced`): the lease says who
should write, the epoch says who can.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from torpor.workflows.asl.events import HistoryEvent, Input
from torpor.workflows.asl.frontier import Frontier, Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.definitions import Definitions
from torpor.workflows.records import (
    Execution,
    HistoryRow,
    MapRunSummary,
    Page,
)

SHARDS = 1_024
"""Virtual shards of a new ledger; the number in force is stored in it and can be raised."""


class LedgerError(Exception):
    """A ledger could not do what was asked."""


class LedgerAway(LedgerError):
    """PostgreSQL cannot be reached or is shutting down: try again.

    A write that got no answer may have been written: repeating the same one is harmless.
    """


class Fenced(LedgerError):
    """The shard belongs to another process now: nothing was written, drop what is in memory."""


class AlreadyExists(LedgerError):
    """The name is taken by something different."""


class NotFound(LedgerError):
    """There is nothing with this ARN."""


class InvalidToken(LedgerError):
    """A page token that this ledger did not give out."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A shard this process owns: every commit to it carries the epoch."""

    shard: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Commit:
    """What one step of one execution changed, to be written in one transaction.

    `frontier` is encoded by the ledger at the time of the call: frames in `touched`, results in
    `arrived`. `consumed` are ids of posted events that this step used up. The caller clears
    `touched` and `arrived` after the call returns.

    An execution that ended changes only by a redrive, one that succeeded never: of any other commit
    to it only `consumed` is written.
    """

    owned: Owned
    execution_arn: str
    frontier: Frontier
    history: Sequence[HistoryEvent]
    consumed: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """An execution as it was loaded: where it stands, and under which revision."""

    execution: Execution
    frontier: Frontier | None
    """None: no step of it was committed yet, or it ended and can never run again."""

    @property
    def over(self) -> bool:
        """Whether nothing of it can ever run again."""
        return self.frontier is None and self.execution.status is not Status.RUNNING


@dataclass(frozen=True, slots=True)
class Posted:
    """An event for an execution that another process accepted: a callback, a stop, a redrive."""

    id: int
    execution_arn: str
    event: Input


@dataclass(frozen=True, slots=True)
class ActivityTask:
    """A task of an activity: which wait of which frame, and what the worker is given."""

    execution_arn: str
    frame: int
    ticket: int
    input: Payload


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who of those that came to a lane has a place, and whether anybody waits in it."""

    arns: frozenset[str]
    waiting: bool


class Ledger(Definitions, Protocol):
    """Durable storage. Every method may raise `LedgerAway`."""

    # --- shards -------------------------------------------------------------------------------
    @property
    def shards(self) -> int:
        """The number of virtual shards in force."""

    def shard_of(self, execution_arn: str) -> int:
        """The shard of an execution: a hash of its ARN."""

    async def claim(self, owner: str, most: int, lease_seconds: float) -> list[Owned]:
        """Take up to `most` shards whose lease is free or has run out; each gets a new epoch.

        Also registers the owner as live for `lease_seconds`, whether it got a shard or not.
        """

    async def renew(self, owner: str, owned: Sequence[Owned], lease_seconds: float) -> list[Owned]:
        """Extend leases; returns those still owned (a shard with another epoch is gone).

        Also registers the owner as live for `lease_seconds`, with or without shards.
        """

    async def release(self, owner: str, owned: Sequence[Owned]) -> None:
        """Give shards up at once, so that another process can claim them."""

    async def owners(self) -> Mapping[str, int]:
        """Live owners and how many shards each has, 0 too: for a fair share."""

    # --- executions ---------------------------------------------------------------------------
    def load(self, owned: Sequence[Owned]) -> AsyncIterator[list[Stored]]:
        """The running executions of these shards with their frontiers, some at a time.

        Of those that wait for a place in a lane there is one for each lane.
        """

    def started(self, shards: Sequence[int]) -> AsyncIterator[list[Stored]]:
        """The running executions of these shards of which no step was committed yet, in parts.

        Those that wait for a place in a lane are not among them.
        """

    async def load_one(self, execution_arn: str) -> Stored:
        """One execution with its frontier, running or ended; raises NotFound."""

    async def posted(self, shards: Sequence[int]) -> list[Posted]:
        """The events waiting in these shards' inboxes, oldest first."""

    async def discard(self, ids: Sequence[int]) -> None:
        """Take posted events away that come too late: nothing of their execution can run."""

    async def post(self, execution_arn: str, event: Input) -> None:
        """Put an event into the inbox of an execution's shard and wake its owner.

        Raises AlreadyExists when another answer to the same task is there; the same one again is
        kept once.
        """

    async def insert(self, execution: Execution) -> Execution:
        """Start an execution: durable when this returns; the shard's owner is woken.

        The same name again: the running execution when the input is the same, else AlreadyExists
        (StartExecution is idempotent by name and input). NotFound when its machine is not there
        or is being deleted.
        """

    async def commit(self, commit: Commit) -> None:
        """Write one step, together with those of others (group commit). Raises Fenced."""

    async def wait_for_work(self, shards: Sequence[int], timeout_seconds: float) -> set[int]:
        """Wait until an execution is started in, or an event posted to, one of these shards.

        Returns the shards that have something; empty at the time-out. (LISTEN/NOTIFY.)
        """

    def news(self, subject: str) -> AbstractContextManager[asyncio.Event]:
        """An event that is set whenever there may be news of a subject, until the block ends.

        A subject is the ARN of an execution that has a parent (it ended), the ARN of an activity (a
        task was offered) or a lane (a place is free or given). Look once inside the block before
        waiting: what happened before it is not told. A waiter should look now and then without
        news, too.
        """

    async def admit(self, lane: str, most: int, entering: Sequence[tuple[str, float]]) -> Admitted:
        """Let the executions that wait longest in a lane have its free places.

        `entering` are ARN and start of executions that come new to the lane; coming twice is
        harmless. At most `most` have a place, in all processes. The owner of any other execution
        that gets one is woken: `started` has it. A place is free again by the commit that ends its
        execution.
        """

    async def execution(self, arn: str) -> Execution:
        """One execution; raises NotFound."""

    async def executions(
        self,
        machine_arn: str | None,
        status: Status | None,
        limit: int,
        token: str | None,
        map_run_arn: str | None = None,
        redriven: bool | None = None,
    ) -> Page[Execution]:
        """Executions, newest first."""

    async def history(
        self, execution_arn: str, limit: int, token: str | None, newest_first: bool
    ) -> Page[HistoryRow]:
        """The history of an execution, or of a Map Run's child."""

    async def counts(self, machine_arn: str) -> Mapping[Status, int]:
        """How many executions of a machine have each status."""

    async def counts_of(self, machine_arns: Sequence[str]) -> Mapping[str, Mapping[Status, int]]:
        """The same of several machines at once."""

    async def map_runs(self, execution_arn: str) -> list[MapRunSummary]:
        """The Map Runs of an execution."""

    async def map_run(self, arn: str) -> MapRunSummary:
        """One Map Run; raises NotFound."""

    async def expire(self, now: float) -> int:
        """Delete what is past its retention; returns how many executions went."""

    # --- activities ---------------------------------------------------------------------------
    async def offer(self, activity_arn: str, task: ActivityTask) -> None:
        """Let workers have a task; offering it again is harmless, also after it was taken."""

    async def take(self, activity_arn: str, worker: str | None) -> ActivityTask | None:
        """The oldest task on offer, which nobody else gets; None when there is none.

        Its execution is told by a posted `ActivityStarted`, in the same transaction.
        """
