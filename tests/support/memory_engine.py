"""An engine and the records it needs, in memory: for tests of the API that come before a database.

Executions advance as soon as something happens to them. Timers never fire: a Wait waits for ever.
"""

from __future__ import annotations

import itertools
import json
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from torpor.workflows.asl.advance import advance
from torpor.workflows.asl.compile import compile_program
from torpor.workflows.asl.events import (
    ActivityStarted,
    Continue,
    Dispatch,
    HistoryEvent,
    Input,
    MapRunChanged,
    Redrive,
    Start,
    Stop,
    TaskFailed,
    TaskSucceeded,
)
from torpor.workflows.asl.frontier import Frontier, Identity, Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.resource import Pattern
from torpor.workflows.asl.scope import Json
from torpor.workflows.engine.base import TaskGone, TaskRefused
from torpor.workflows.ledger.base import AlreadyExists, LedgerAway, NotFound
from torpor.workflows.ledger.definitions import NO_TAGS
from torpor.workflows.records import (
    Activity,
    Alias,
    Execution,
    HistoryRow,
    Machine,
    MachineStatus,
    MachineVersion,
    MapRunSummary,
    Page,
)

T = TypeVar("T")
Function = Callable[[Json], Json]


class RealOutside:
    """Time and randomness of a test that does not care which."""

    def __init__(self) -> None:
        self._random = random.Random(7)

    def now(self) -> float:
        """The time."""
        return time.time()

    def uuid(self) -> str:
        """A random UUID."""
        return str(uuid.uuid4())

    def random(self) -> float:
        """The same random numbers in every run."""
        return self._random.random()


@dataclass
class MemoryRecords:
    """The part of a ledger that the API reads and writes."""

    away: bool = False
    shards: int = 16
    machine_rows: dict[str, list[Machine]] = field(default_factory=dict)
    version_rows: dict[str, MachineVersion] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    alias_rows: dict[str, Alias] = field(default_factory=dict)
    tag_rows: dict[str, dict[str, str]] = field(default_factory=dict)
    activity_rows: dict[str, Activity] = field(default_factory=dict)
    execution_rows: dict[str, Execution] = field(default_factory=dict)
    history_rows: dict[str, list[HistoryRow]] = field(default_factory=dict)
    map_run_rows: dict[str, MapRunSummary] = field(default_factory=dict)
    posted_events: list[tuple[str, Input]] = field(default_factory=list)

    def shard_of(self, execution_arn: str) -> int:
        return len(execution_arn) % self.shards

    def _there(self) -> None:
        if self.away:
            raise LedgerAway("the test took it away")

    def _get(self, rows: Mapping[str, T], arn: str) -> T:
        self._there()
        if arn not in rows:
            raise NotFound(arn)
        return rows[arn]

    def _page(self, rows: Sequence[T], limit: int, token: str | None) -> Page[T]:
        self._there()
        first = int(token or 0)
        more = str(first + limit) if first + limit < len(rows) else None
        return Page(tuple(rows[first : first + limit]), more)

    async def put_machine(
        self, machine: Machine, replaces: str | None = None, tags: Mapping[str, str] = NO_TAGS
    ) -> Machine:
        rows = self.machine_rows.get(machine.arn)
        if replaces is None:
            if rows is not None:
                raise AlreadyExists(machine.arn)
            self.tag_rows[machine.arn] = dict(tags)
            self.machine_rows[machine.arn] = [machine]
            return machine
        if rows is None or rows[-1].status is MachineStatus.DELETING:
            raise NotFound(machine.arn)
        if rows[-1].revision_id != replaces:
            raise AlreadyExists(machine.arn)
        rows.append(machine)
        return machine

    async def machine(self, arn: str) -> Machine:
        return self._get(self.machine_rows, arn)[-1]

    async def revision(self, machine_arn: str, revision_id: str) -> Machine:
        for machine in self._get(self.machine_rows, machine_arn):
            if machine.revision_id == revision_id:
                return machine
        raise NotFound(revision_id)

    async def machines(self, limit: int, token: str | None) -> Page[Machine]:
        rows = [rows[-1] for _, rows in sorted(self.machine_rows.items())]
        return self._page(rows, limit, token)

    async def delete_machine(self, arn: str, latest: str | None = None) -> None:
        rows = self._get(self.machine_rows, arn)
        if latest is not None and rows[-1].revision_id != latest:
            raise AlreadyExists(arn)
        running = [row for row in self.execution_rows.values() if row.machine_arn == arn]
        if any(row.status is Status.RUNNING for row in running):
            rows[-1] = replace(rows[-1], status=MachineStatus.DELETING)
        else:
            del self.machine_rows[arn]

    async def publish(
        self, machine_arn: str, revision_id: str | None, description: str | None
    ) -> MachineVersion:
        revision = (await self.machine(machine_arn)).revision_id
        for version in self.version_rows.values():
            if (version.machine_arn, version.revision_id) == (machine_arn, revision):
                return version
        number = self.numbers[machine_arn] = self.numbers.get(machine_arn, 0) + 1
        arn = f"{machine_arn}:{number}"
        made = MachineVersion(arn, machine_arn, number, revision, description, time.time())
        self.version_rows[arn] = made
        return made

    async def versions(
        self, machine_arn: str, limit: int, token: str | None
    ) -> Page[MachineVersion]:
        self._get(self.machine_rows, machine_arn)
        rows = [row for row in self.version_rows.values() if row.machine_arn == machine_arn]
        return self._page(rows[::-1], limit, token)

    async def version(self, arn: str) -> MachineVersion:
        return self._get(self.version_rows, arn)

    async def delete_version(self, arn: str) -> None:
        del self.version_rows[self._get(self.version_rows, arn).arn]

    async def create_alias(self, alias: Alias) -> Alias:
        self._get(self.machine_rows, alias.machine_arn)
        if alias.arn in self.alias_rows:
            raise AlreadyExists(alias.arn)
        self.alias_rows[alias.arn] = alias
        return alias

    async def change_alias(self, alias: Alias) -> Alias:
        self._get(self.alias_rows, alias.arn)
        self.alias_rows[alias.arn] = alias
        return alias

    async def alias(self, arn: str) -> Alias:
        return self._get(self.alias_rows, arn)

    async def aliases(self, machine_arn: str, limit: int, token: str | None) -> Page[Alias]:
        rows = [row for row in self.alias_rows.values() if row.machine_arn == machine_arn]
        return self._page(sorted(rows, key=lambda row: row.name), limit, token)

    async def delete_alias(self, arn: str) -> None:
        del self.alias_rows[self._get(self.alias_rows, arn).arn]

    async def tags(self, arn: str) -> Mapping[str, str]:
        return self._get(self.tag_rows, arn)

    async def set_tags(
        self, arn: str, add: Mapping[str, str], remove: Sequence[str]
    ) -> Mapping[str, str]:
        tags = self._get(self.tag_rows, arn)
        tags.update(add)
        for key in remove:
            tags.pop(key, None)
        return tags

    async def put_activity(self, activity: Activity, tags: Mapping[str, str] = NO_TAGS) -> Activity:
        self._there()
        self.tag_rows.setdefault(activity.arn, dict(tags))
        return self.activity_rows.setdefault(activity.arn, activity)

    async def activity(self, arn: str) -> Activity:
        return self._get(self.activity_rows, arn)

    async def activities(self, limit: int, token: str | None) -> Page[Activity]:
        return self._page([row for _, row in sorted(self.activity_rows.items())], limit, token)

    async def delete_activity(self, arn: str) -> None:
        del self.activity_rows[self._get(self.activity_rows, arn).arn]

    async def execution(self, arn: str) -> Execution:
        return self._get(self.execution_rows, arn)

    async def executions(
        self,
        machine_arn: str | None,
        status: Status | None,
        limit: int,
        token: str | None,
        map_run_arn: str | None = None,
        redriven: bool | None = None,
    ) -> Page[Execution]:
        rows = [
            row
            for row in reversed(self.execution_rows.values())
            if (machine_arn is None or row.machine_arn == machine_arn)
            and (status is None or row.status is status)
            and (map_run_arn is None or row.parent_arn == map_run_arn)
            and (redriven is None or redriven == (row.redrive_count > 0))
        ]
        return self._page(rows, limit, token)

    async def history(
        self, execution_arn: str, limit: int, token: str | None, newest_first: bool
    ) -> Page[HistoryRow]:
        rows = self.history_rows.get(execution_arn, [])
        return self._page(rows[::-1] if newest_first else rows, limit, token)

    async def map_runs(self, execution_arn: str) -> list[MapRunSummary]:
        rows = self.map_run_rows.values()
        return [row for row in rows if row.execution_arn == execution_arn]

    async def map_run(self, arn: str) -> MapRunSummary:
        return self._get(self.map_run_rows, arn)

    async def post(self, execution_arn: str, event: Input) -> None:
        self._there()
        self.posted_events.append((execution_arn, event))


@dataclass
class _Running:
    """One execution that the engine holds."""

    machine: Machine
    frontier: Frontier
    steps: int = 0


class MemoryEngine:
    """Runs executions at once; functions are Python functions by name, or a mock error."""

    def __init__(self, records: MemoryRecords, functions: Mapping[str, Function]) -> None:
        self.records = records
        self.functions = functions
        self.running: dict[str, _Running] = {}
        self.tokens: dict[str, tuple[str, int, int]] = {}
        self.waiting: list[tuple[str, str, int, int, Payload]] = []
        self.beats = 0
        self._numbers = itertools.count()

    async def start(self, execution: Execution) -> Execution:
        known = self.records.execution_rows.get(execution.arn)
        if known is not None:
            if known.status is Status.RUNNING and known.input == execution.input:
                return known
            raise AlreadyExists(execution.arn)
        self.records.execution_rows[execution.arn] = execution
        return await self._begin(execution)

    async def run_express(self, execution: Execution, *, wait: bool) -> Execution:
        ended = await self._begin(execution)
        self.records.execution_rows.pop(execution.arn)
        return ended if wait else execution

    async def stop(self, arn: str, error: str | None, cause: str | None) -> float:
        return self._advance(arn, Stop(error, cause)).stopped_at or 0.0

    async def redrive(self, arn: str) -> float:
        redriven = self._advance(arn, Redrive())
        moment = time.time()
        self.records.execution_rows[arn] = replace(redriven, redriven_at=moment)
        return moment

    async def succeed(self, token: str, output: Payload) -> None:
        arn, frame, ticket = self._waiting(token)
        self._advance(arn, TaskSucceeded(frame, ticket, output))

    async def fail(self, token: str, error: str | None, cause: str | None) -> None:
        arn, frame, ticket = self._waiting(token)
        self._advance(arn, TaskFailed(frame, ticket, error, cause))

    async def heartbeat(self, token: str) -> None:
        self._waiting(token)
        self.beats += 1

    async def poll_activity(
        self, arn: str, worker: str | None, wait_seconds: float
    ) -> tuple[str, Payload] | None:
        for place, (activity, execution, frame, ticket, given) in enumerate(self.waiting):
            if activity == arn:
                del self.waiting[place]
                self._advance(execution, ActivityStarted(frame, ticket, worker))
                return self._token(execution, frame, ticket), given
        return None

    def _waiting(self, token: str) -> tuple[str, int, int]:
        if token not in self.tokens:
            raise TaskRefused(token)
        arn, frame_id, ticket = self.tokens[token]
        frame = self.running[arn].frontier.frames.get(frame_id)
        if frame is None or frame.ticket != ticket:
            raise TaskGone(token)
        return arn, frame_id, ticket

    def _token(self, arn: str, frame: int, ticket: int) -> str:
        token = f"{arn}/{frame}/{ticket}"
        self.tokens[token] = (arn, frame, ticket)
        return token

    async def _begin(self, execution: Execution) -> Execution:
        machine = await self.records.revision(execution.machine_arn, execution.revision_id)
        identity = Identity(
            execution.arn,
            execution.name,
            machine.role_arn,
            machine.arn,
            machine.name,
            execution.started_at,
            execution.input,
        )
        self.running[execution.arn] = _Running(machine, Frontier(identity))
        self.records.execution_rows[execution.arn] = execution
        return self._advance(execution.arn, Start())

    def _advance(self, arn: str, event: Input) -> Execution:
        running = self.running[arn]
        program = compile_program(json.loads(running.machine.definition))
        pending = [event]
        while pending:
            step = advance(program, running.frontier, pending.pop(0), _Tokens(self, arn))
            rows = self.records.history_rows.setdefault(arn, [])
            rows += [
                HistoryRow(one.id, one.previous, one.type, one.at, _stored(one))
                for one in step.history
                if not one.scope
            ]
            for effect in step.effects:
                if isinstance(effect, Dispatch):
                    pending += self._dispatched(arn, effect)
            if step.more:
                pending.append(Continue())
        return self._record(arn, running.frontier)

    def _dispatched(self, arn: str, task: Dispatch) -> list[Input]:
        resource = task.resource
        if resource.service == "activity":
            item = (resource.text, arn, task.frame, task.ticket, task.argument)
            self.waiting.append(item)
            return []
        if resource.pattern is Pattern.TASK_TOKEN:
            return []
        argument = task.argument.value
        name = resource.name or argument["FunctionName"]
        try:
            result = self.functions[name](argument if resource.direct else argument["Payload"])
        except ValueError as error:
            return [TaskFailed(task.frame, task.ticket, type(error).__name__, str(error))]
        output = result if resource.direct else {"Payload": result, "StatusCode": 200}
        return [TaskSucceeded(task.frame, task.ticket, Payload(output))]

    def _record(self, arn: str, frontier: Frontier) -> Execution:
        ended = frontier.status is not Status.RUNNING
        row = replace(
            self.records.execution_rows[arn],
            status=frontier.status,
            output=frontier.output,
            error=frontier.error,
            cause=frontier.cause,
            stopped_at=time.time() if ended else None,
            redrive_count=frontier.redrive_count,
        )
        self.records.execution_rows[arn] = row
        return row


def _stored(event: HistoryEvent) -> dict[str, Json]:
    """The details as a ledger has them: payloads as JSON texts, variables as they are."""
    return {
        name: value.text if isinstance(value, Payload) else value
        for name, value in event.details.items()
    }


class _Tokens(RealOutside):
    def __init__(self, engine: MemoryEngine, arn: str) -> None:
        super().__init__()
        self._engine = engine
        self._arn = arn

    def task_token(self, frame: int, ticket: int) -> str:
        return self._engine._token(self._arn, frame, ticket)


def changed_map_runs(records: MemoryRecords) -> list[Any]:
    """The events of UpdateMapRun that were posted."""
    return [event for _, event in records.posted_events if isinstance(event, MapRunChanged)]
