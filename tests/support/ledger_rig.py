"""Executions that run on a ledger step by step, and definitions with every shape of frontier."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.conformance.harness import VirtualWorld
from tests.support.postgres import fresh_database
from torpor.workflows.asl.advance import advance
from torpor.workflows.asl.compile import compile_program
from torpor.workflows.asl.events import Dispatch, Input, Start, Step
from torpor.workflows.asl.frontier import Frontier, Identity, Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.base import Commit, Ledger, Owned, Stored
from torpor.workflows.ledger.postgres import PostgresLedger, open_ledger
from torpor.workflows.records import Execution, Machine, MachineType

ARN = "arn:aws:states:us-east-1:123456789012"
MACHINE_ARN = f"{ARN}:stateMachine:shop"
STARTED_AT = 1_763_700_000.0
LEASE_SECONDS = 30.0
TASK = {"Type": "Task", "Resource": f"{ARN.replace('states', 'lambda')}:function:work"}
_numbers = itertools.count(1)


@asynccontextmanager
async def fresh_ledger(shards: int = 16) -> AsyncIterator[PostgresLedger]:
    """A ledger in a database of its own, with the machine `shop` at revision `r1`."""
    async with fresh_database() as dsn, open_ledger(dsn, shards) as ledger:
        await ledger.put_machine(a_machine())
        yield ledger


def a_machine(name: str = "shop", revision: str = "r1", **options: Any) -> Machine:
    """A machine with a definition that nobody reads."""
    return Machine(
        f"{ARN}:stateMachine:{name}",
        name,
        MachineType.STANDARD,
        "{}",
        f"arn:aws:iam::123456789012:role/{name}",
        STARTED_AT,
        STARTED_AT,
        revision,
        **options,
    )


def an_execution(
    name: str | None = None, input: Any = None, started_at: float = STARTED_AT, **fields: Any
) -> Execution:
    """An execution of `shop` that is about to start."""
    name = name or f"run-{next(_numbers)}"
    return Execution(
        f"{ARN}:execution:shop:{name}",
        name,
        MACHINE_ARN,
        "r1",
        0,
        Status.RUNNING,
        Payload({} if input is None else input),
        started_at,
        **fields,
    )


def identity_of(execution: Execution) -> Identity:
    """What an execution's expressions see of it."""
    return Identity(
        execution.arn,
        execution.name,
        "arn:aws:iam::123456789012:role/shop",
        execution.machine_arn,
        "shop",
        execution.started_at,
        execution.input,
    )


class Running:
    """One execution in memory whose steps are committed to a ledger."""

    def __init__(
        self,
        ledger: Ledger,
        owned: Owned,
        execution: Execution,
        definition: dict[str, Any],
        frontier: Frontier | None = None,
    ) -> None:
        self.ledger = ledger
        self.owned = owned
        self.execution = execution
        self.program = compile_program(definition)
        self.frontier = frontier or Frontier(identity_of(execution))
        self.world = VirtualWorld(execution.started_at)

    async def send(self, event: Input, consumed: tuple[int, ...] = ()) -> Step:
        """Take one step and commit it."""
        step = advance(self.program, self.frontier, event, self.world)
        await self.commit(step, consumed)
        return step

    async def commit(self, step: Step, consumed: tuple[int, ...] = ()) -> None:
        """Write a step that was taken."""
        await self.ledger.commit(
            Commit(self.owned, self.execution.arn, self.frontier, step.history, consumed)
        )
        self.frontier.touched.clear()
        self.frontier.arrived.clear()


async def claim_all(ledger: Ledger, owner: str = "one") -> dict[int, Owned]:
    """Own every shard."""
    owned = await ledger.claim(owner, ledger.shards, LEASE_SECONDS)
    return {one.shard: one for one in owned}


async def load_all(ledger: Ledger, owned: Sequence[Owned]) -> list[Stored]:
    """Every running execution of these shards."""
    return [stored async for part in ledger.load(owned) for stored in part]


async def started_in(ledger: Ledger, shards: Iterable[int]) -> list[Stored]:
    """Every execution of these shards of which no step was committed."""
    return [stored async for part in ledger.started(list(shards)) for stored in part]


async def begin(
    ledger: Ledger, owned: dict[int, Owned], definition: dict[str, Any], **fields: Any
) -> tuple[Running, Step]:
    """Start an execution and take its first step."""
    execution = await ledger.insert(an_execution(**fields))
    running = Running(ledger, owned[execution.shard], execution, definition)
    return running, await running.send(Start())


def dispatches(step: Step) -> list[Dispatch]:
    """The tasks that a step asks for."""
    return [effect for effect in step.effects if isinstance(effect, Dispatch)]


def comparable(frontier: Frontier) -> dict[str, Any]:
    """All of a frontier that counts, as plain data."""
    return {
        "identity": frontier.identity,
        "next": (frontier.next_frame, frontier.next_ticket),
        "end": (frontier.status, frontier.output, frontier.error, frontier.cause),
        "deadline": frontier.deadline,
        "redrives": frontier.redrive_count,
        "frames": {frame.id: _frame(frame) for frame in frontier.frames.values()},
    }


def _frame(frame: Any) -> dict[str, Any]:
    fields = {name: getattr(frame, name) for name in frame.__slots__ if name != "visible"}
    return {**fields, "log": (frame.log.scope, frame.log.owner, frame.log.next_id)}


CHAIN: dict[str, Any] = {
    "StartAt": "A",
    "States": {"A": {**TASK, "Next": "B"}, "B": {**TASK, "Next": "C"}, "C": {**TASK, "End": True}},
}
"""Three tasks in a row."""


def map_over(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A definition that is one inline Map over `$.items`."""
    processor = {"ProcessorConfig": {"Mode": "INLINE"}, **body}
    each = {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": processor, "End": True}
    return {"StartAt": "Each", "States": {"Each": {**each, **fields}}}


ONE_TASK: dict[str, Any] = {"StartAt": "T", "States": {"T": {**TASK, "End": True}}}
"""One task."""


def distributed(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A definition that is one distributed Map over `$.items`."""
    definition = map_over(body, **fields)
    processor = definition["States"]["Each"]["ItemProcessor"]
    processor["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    return definition
