"""Writing executions: starts, commits and posted events, each in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from torpor.workflows.asl.events import Input, TaskFailed, TaskSucceeded
from torpor.workflows.asl.frontier import Status
from torpor.workflows.ledger.arguments import blob_keys, commit_arguments, start_arguments
from torpor.workflows.ledger.base import (
    AlreadyExists,
    Commit,
    Fenced,
    LedgerAway,
    LedgerError,
    NotFound,
)
from torpor.workflows.ledger.codec import Memory
from torpor.workflows.ledger.database import Database
from torpor.workflows.ledger.encoding import Encoded, encode_commit
from torpor.workflows.ledger.keys import day_of, key_of
from torpor.workflows.ledger.listing import Listing
from torpor.workflows.ledger.mail import encode_event
from torpor.workflows.ledger.writer import Flush, GroupWriter, T
from torpor.workflows.records import Execution

_NEW = Memory()
_KEPT = """
SELECT execution_arn, answers FROM inbox
JOIN unnest($1::text[], $2::text[], $3::bytea[]) AS refused (execution_arn, answers, event)
USING (execution_arn, answers, event)
"""


@dataclass(frozen=True, slots=True)
class _Post:
    shard: int
    execution_arn: str
    event: bytes
    answers: str | None

    @property
    def name(self) -> str:
        """What `torpor_deliver` calls an answer."""
        return f"{self.execution_arn} {self.answers}"


class Commits(Listing):
    """The group writers."""

    def __init__(self, database: Database, shards: int) -> None:
        super().__init__(database, shards)
        self._commits = GroupWriter[Encoded]("commits", self._each_alone(self._flush_commits))
        self._starts = GroupWriter[Execution]("starts", self._each_alone(self._flush_starts))
        self._posts = GroupWriter[_Post]("posts", self._flush_posts)

    def _start_writing(self) -> None:
        for writer in (self._commits, self._starts, self._posts):
            writer.start()

    async def _stop_writing(self) -> None:
        for writer in (self._commits, self._starts, self._posts):
            await writer.stop()

    async def commit(self, commit: Commit) -> None:
        """Write one step, together with those of others. Raises Fenced.

        A LedgerAway may hide that it was written: the same commit again is harmless.
        """
        key = key_of(commit.execution_arn)
        before = self._memories.get(key, _NEW)
        encoded = encode_commit(commit, before)
        if encoded.after is None:
            self._memories.pop(key, None)
        else:
            self._memories[key] = encoded.after
        try:
            await self._commits.write(encoded, key, encoded.size_bytes(self._blobs))
        except LedgerAway:
            if self._memories.get(key) is encoded.after:
                self._memories[key] = before
            raise
        except LedgerError:
            # Read again meanwhile, it is known to who owns it now: that stays.
            if self._memories.get(key) is encoded.after:
                self._memories.pop(key, None)
            raise

    async def insert(self, execution: Execution) -> Execution:
        """Start an execution; the same name and input again is the running execution.

        Raises NotFound when its machine is not there, is being deleted, or lost the revision.
        """
        execution = replace(execution, shard=self.shard_of(execution.arn))
        size = len(execution.input.text)
        try:
            await self._starts.write(execution, key_of(execution.arn), size)
        except AlreadyExists:
            existing = await self.execution(execution.arn)
            if existing.status is not Status.RUNNING or existing.input != execution.input:
                raise
            return existing
        return execution

    async def post(self, execution_arn: str, event: Input) -> None:
        """Put an event into the inbox of an execution's shard and wake its owner.

        Raises AlreadyExists when another answer to the same task is there; the same one again is
        kept once.
        """
        body, answers = encode_event(event), _answers(event)
        post = _Post(self.shard_of(execution_arn), execution_arn, body, answers)
        key = object() if answers is None else (execution_arn, answers)
        await self._posts.write(post, key, len(body))

    async def _flush_commits(self, group: Sequence[Encoded]) -> list[Exception | None]:
        await self._days.ensure(one.day for one in group)
        arguments = commit_arguments(group, self._blobs)
        fenced = set(await self._database.value(_call("torpor_commit", arguments), *arguments))
        for place, one in enumerate(group, 1):
            if place not in fenced:
                self._blobs.add(blob_keys(one))
        return [
            Fenced(f"shard {one.shard} has another owner than epoch {one.epoch}")
            if place in fenced
            else None
            for place, one in enumerate(group, 1)
        ]

    async def _flush_starts(self, group: Sequence[Execution]) -> list[Exception | None]:
        await self._days.ensure(day_of(one.started_at) for one in group)
        arguments = start_arguments(group, self._blobs)
        row = await self._database.row(_call("torpor_begin", arguments), *arguments)
        inserted, refused = set(row["inserted"] or ()), set(row["refused"] or ())
        return [_start_outcome(one, inserted, refused) for one in group]

    async def _flush_posts(self, group: Sequence[_Post]) -> list[Exception | None]:
        new = await self._database.value(
            "SELECT torpor_deliver($1, $2, $3, $4)",
            [one.shard for one in group],
            [one.execution_arn for one in group],
            [one.event for one in group],
            [one.answers for one in group],
        )
        kept = set(new or ())
        refused = [one for one in group if one.answers is not None and one.name not in kept]
        kept |= await self._kept_before(refused)
        return [
            None
            if one.answers is None or one.name in kept
            else AlreadyExists(f"an answer to a task of {one.execution_arn}")
            for one in group
        ]

    async def _kept_before(self, refused: Sequence[_Post]) -> set[str]:
        """Those that are kept already: the answer to their first writing was lost."""
        if not refused:
            return set()
        rows = await self._database.rows(
            _KEPT,
            [one.execution_arn for one in refused],
            [one.answers for one in refused],
            [one.event for one in refused],
        )
        return {f"{row['execution_arn']} {row['answers']}" for row in rows}

    def _each_alone(self, flush: Flush[T]) -> Flush[T]:
        """What PostgreSQL refuses in one write is not the fault of the others in its group."""

        async def flush_or_split(group: Sequence[T]) -> Sequence[Exception | None]:
            try:
                return await flush(group)
            except LedgerAway:
                raise
            except LedgerError:
                self._days.forget()
            return [await _outcome(flush, one) for one in group]

        return flush_or_split


async def _outcome(flush: Flush[T], one: T) -> Exception | None:
    try:
        return (await flush([one]))[0]
    except LedgerError as error:
        return error


def _answers(event: Input) -> str | None:
    """Which wait of which frame an event answers, None when it answers none."""
    if isinstance(event, TaskSucceeded | TaskFailed):
        return f"{event.frame}/{event.ticket}"
    return None


def _start_outcome(one: Execution, inserted: set[UUID], refused: set[UUID]) -> Exception | None:
    key = key_of(one.arn)
    if key in refused:
        return NotFound(f"state machine {one.machine_arn}")
    return None if key in inserted else AlreadyExists(f"execution {one.arn}")


def _call(function: str, arguments: Sequence[object]) -> str:
    places = ", ".join(f"${n}" for n in range(1, len(arguments) + 1))
    return f"SELECT * FROM {function}({places})"  # noqa: S608 - constants
