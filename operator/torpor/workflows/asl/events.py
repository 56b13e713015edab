"""What goes into a step and what comes out of it: inputs, effects, history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.resource import Resource
from torpor.workflows.asl.scope import Json


@dataclass(frozen=True, slots=True)
class Start:
    """Begin the execution with the input of its identity."""


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on where the budget of the last step ran out."""


@dataclass(frozen=True, slots=True)
class TaskSubmitted:
    """A job or a callback task was accepted: from now on only its end counts.

    `output` is what the service answered.
    """

    frame: int
    ticket: int
    output: Payload


@dataclass(frozen=True, slots=True)
class ActivityStarted:
    """A worker took an activity task; from now on its time-out and heartbeat run."""

    frame: int
    ticket: int
    worker: str | None


@dataclass(frozen=True, slots=True)
class TaskSucceeded:
    """A task's result."""

    frame: int
    ticket: int
    output: Payload


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task's error; `not_dispatched` when it never ran (`…ScheduleFailed` in the history)."""

    frame: int
    ticket: int
    error: str | None
    cause: str | None


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A frame's timer came due: the end of a Wait or back-off, or a task's time-out."""

    frame: int
    ticket: int


@dataclass(frozen=True, slots=True)
class HeartbeatMissed:
    """A task sent no heartbeat within its HeartbeatSeconds."""

    frame: int
    ticket: int


@dataclass(frozen=True, slots=True)
class HeartbeatSeen:
    """A task sent a heartbeat to another process than its execution's; the machine ignores it."""

    frame: int
    ticket: int


@dataclass(frozen=True, slots=True)
class ItemsRead:
    """The items of a distributed Map, as its ItemReader found them."""

    frame: int
    ticket: int
    items: list[Json]


@dataclass(frozen=True, slots=True)
class ResultsWritten:
    """A distributed Map's results were written; `output` is the state's result."""

    frame: int
    ticket: int
    output: Payload


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Who was to read a distributed Map's items or write its results is gone: ask again."""

    frame: int
    ticket: int


@dataclass(frozen=True, slots=True)
class MapRunChanged:
    """UpdateMapRun: other limits for a running Map Run; None: as before."""

    map_run: str
    max_concurrency: int | None = None
    tolerated_count: float | None = None
    tolerated_percentage: float | None = None


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The execution's own TimeoutSeconds passed."""


@dataclass(frozen=True, slots=True)
class Stop:
    """StopExecution, with the caller's error and cause."""

    error: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Redrive:
    """RedriveExecution: run the failed, aborted or timed-out states again."""


Input = (
    Start
    | Continue
    | TaskSubmitted
    | ActivityStarted
    | TaskSucceeded
    | TaskFailed
    | TimerFired
    | HeartbeatMissed
    | HeartbeatSeen
    | ItemsRead
    | ResultsWritten
    | AskAgain
    | MapRunChanged
    | TimedOut
    | Stop
    | Redrive
)


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Have a task done, at least once; `(execution, frame, ticket)` is its idempotency key.

    Time-out and heartbeat in seconds.
    """

    frame: int
    ticket: int
    resource: Resource
    argument: Payload
    timeout: float | None
    heartbeat: float | None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for this task any more: stop it if that can be done."""

    frame: int
    ticket: int


@dataclass(frozen=True, slots=True)
class ReadItems:
    """Read the items of a distributed Map (ItemReader)."""

    frame: int
    ticket: int
    resource: str
    arguments: Json
    config: Mapping[str, Json]
    max_items: int | None


@dataclass(frozen=True, slots=True)
class WriteResults:
    """Write the results of a distributed Map (ResultWriter)."""

    frame: int
    ticket: int
    resource: str | None
    arguments: Json
    config: Mapping[str, Json]
    map_run: str
    results: list[dict[str, Json]]


@dataclass(frozen=True, slots=True)
class End:
    """The execution is over."""

    status: Status
    output: Payload | None
    error: str | None
    cause: str | None


Effect = Dispatch | Cancel | ReadItems | WriteResults | End


class HistoryEvent:
    """One event of GetExecutionHistory.

    `details` holds the fields of the type's `…EventDetails` member, payloads not yet as text;
    `scope` is empty for the execution's own history. `at` is in seconds since the epoch.
    """

    __slots__ = ("at", "details", "id", "previous", "scope", "type")

    def __init__(
        self, id: int, previous: int, type: str, at: float, details: dict[str, Any], scope: str
    ) -> None:
        self.id = id
        self.previous = previous
        self.type = type
        self.at = at
        self.details = details
        self.scope = scope

    def __repr__(self) -> str:
        return f"{self.id}:{self.type}<{self.previous}"


@dataclass(slots=True)
class Step:
    """What one call of `advance` brought about.

    `more` says that the budget ran out: commit, then send `Continue`. `transitions` counts the
    states entered, `work` says what it cost (units of `work`).
    """

    history: list[HistoryEvent]
    effects: list[Effect]
    more: bool = False
    transitions: int = 0
    work: int = 0
