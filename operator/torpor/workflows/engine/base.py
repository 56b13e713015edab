"""What the execution API asks of the engine, and what the engine asks of the world.

The engine's public class is `engine.engine.Engine`; tasks go out through `Integrations`, one per
service that a Resource can name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torpor.workflows.asl.events import Dispatch, Input, ReadItems, WriteResults
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.scope import Json
from torpor.workflows.ledger.base import LedgerAway
from torpor.workflows.records import Execution, Machine


class TaskRefused(Exception):
    """A task token is forged, or of another installation (InvalidToken)."""


class TaskGone(Exception):
    """A token's task is over, timed out or was never there (TaskTimedOut, TaskDoesNotExist)."""


class NotRedrivable(Exception):
    """The execution still runs or has succeeded (ExecutionNotRedrivable)."""


class Unanswered(LedgerAway):
    """What was asked is kept for the engine that runs the execution; it did not do it in time."""


class Throttled(Exception):
    """Too many executions wait for a place already: try again later (ThrottlingException)."""


class Observer(Protocol):
    """Is told what a task sends over HTTP and gets: TestState's TRACE. It learns no secret."""

    def sent(self, request: Mapping[str, str]) -> None:
        """Take in the request as the definition has it, without what a connection adds."""

    def got(self, response: Mapping[str, str]) -> None:
        """Take in the response."""


@dataclass(frozen=True, slots=True)
class Job:
    """One task to be done, at least once.

    `key` is its idempotency key, the same whenever the task is dispatched again; `token` is what
    SendTask… calls accept. `trace` is the W3C traceparent to pass on, None without one.
    """

    execution: Execution
    machine: Machine
    state: str
    dispatch: Dispatch
    key: str
    token: str
    trace: str | None = None
    observer: Observer | None = None


class Integration(Protocol):
    """Does the tasks of one service (`lambda`, `events`, `http`, …)."""

    async def run(self, job: Job) -> Input | None:
        """Do one task; returns TaskSucceeded, TaskFailed or TaskSubmitted.

        None: the end is reported later, by token. Cancellation means that nobody waits any more.
        Whatever the service answers is an outcome; an exception is a defect of the integration and
        fails the task with States.Runtime, never the engine.
        """


class Items(Protocol):
    """Reads and writes what distributed Maps process: the object store."""

    async def read(self, machine: Machine, request: ReadItems) -> list[Json]:
        """The items; raises `asl.fault.Fault` (States.ItemReaderFailed) with the reason."""

    async def write(self, machine: Machine, request: WriteResults) -> Payload:
        """Writes the result files; the payload is the state's result (ResultWriterDetails)."""


class Api(Protocol):
    """The engine as the execution API, the Triggers and the CLI use it.

    Errors: `ledger.base` errors, `TaskRefused`, `TaskGone`, `NotRedrivable`.
    """

    async def start(self, execution: Execution) -> Execution:
        """Start a durable execution; returns when it is durable, not when it is over."""

    async def run_express(self, execution: Execution, *, wait: bool) -> Execution:
        """Run an express execution in memory; with `wait` returns its end, else at once."""

    async def stop(self, arn: str, error: str | None, cause: str | None) -> float:
        """Stop an execution; returns the time of its end."""

    async def redrive(self, arn: str) -> float:
        """Run the failed states of an ended execution again; returns the time."""

    async def succeed(self, token: str, output: Payload) -> None:
        """SendTaskSuccess: durable when it returns."""

    async def fail(self, token: str, error: str | None, cause: str | None) -> None:
        """SendTaskFailure: durable when it returns."""

    async def heartbeat(self, token: str) -> None:
        """SendTaskHeartbeat."""

    async def poll_activity(
        self, arn: str, worker: str | None, wait_seconds: float
    ) -> tuple[str, Payload] | None:
        """GetActivityTask: the next task's token and input; None when none came in time."""
