"""Where an execution stands: a small tree of frames, and nothing of its past.

Recovery loads the frontier, so its cost follows the number of active branches, never the length of
the history. The frontier is changed only by `advance`, which marks the frames it touched: these,
and only these, are written at the next commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.scope import Json


class Status(StrEnum):
    """The state of an execution, in the API's words."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    ABORTED = "ABORTED"


class Phase(StrEnum):
    """What a frame waits for."""

    READY = "ready"
    """Nothing: it goes on in this very step."""
    TASK = "task"
    """The answer of its task; the task is dispatched (again) whenever the frontier is loaded."""
    TOKEN = "token"  # noqa: S105
    """A SendTask… call, or the end of a job: it was accepted and is never dispatched again."""
    WAIT = "wait"
    """The end of a Wait state."""
    RETRY = "retry"
    """The moment of its next attempt."""
    JOIN = "join"
    """The frames below it."""
    READ = "read"
    """The items of its Map, from outside."""
    WRITE = "write"
    """The results of its Map to be written outside."""


OUTSIDE = frozenset({Phase.TASK, Phase.TOKEN, Phase.READ, Phase.WRITE})
"""The phases in which something outside works for the frame."""


@dataclass(slots=True)
class Join:
    """What a Parallel or Map frame knows of its children.

    `items` are the inputs still to be started, by index; `results` the outputs by index. Counters
    that follow from the children and results are kept here only in memory.
    """

    total: int
    max_concurrency: int = 0
    items: list[Json] | None = None
    next_index: int = 0
    running: int = 0
    results: dict[int, Payload] = field(default_factory=dict)
    failed: dict[int, tuple[str | None, str | None]] = field(default_factory=dict)
    tolerated_count: float | None = None
    tolerated_percentage: float | None = None
    weights: list[int] | None = None
    """How many items each child stands for (ItemBatcher); None: one each."""
    last_event: int = 0
    map_run: str | None = None


@dataclass(slots=True)
class Log:
    """A stream of history events with ids of its own: the execution's, or a Map Run child's.

    `scope` is empty for the execution itself. `owner` is the frame that the log is stored with: the
    first of the execution or of the child.
    """

    scope: str
    owner: int
    next_id: int = 1


@dataclass(slots=True)
class Frame:
    """One active branch: the state it is in, that state's input, and what it waits for.

    `ticket` numbers the frame's current wait: an answer or timer that carries another ticket comes
    from the past and is dropped. `due` is when the frame's timer fires (seconds since the epoch).
    """

    id: int
    parent: int | None
    index: int
    block: int
    state: str
    input: Payload
    log: Log
    variables: dict[str, Json] = field(default_factory=dict)
    outer: dict[str, Json] = field(default_factory=dict)
    visible: dict[str, Json] | None = None
    phase: Phase = Phase.READY
    ticket: int = 0
    entered_event: int = 0
    entered_at: float = 0.0
    last_event: int = 0
    retries: dict[int, int] = field(default_factory=dict)
    retry_count: int = 0
    due: float | None = None
    timeout: float | None = None
    heartbeat: float | None = None
    argument: Payload | None = None
    """What the running task was given, for dispatching it again after a recovery."""
    join: Join | None = None
    item: tuple[int, Json] | None = None
    """The Map item this frame runs for: its index and value."""

    def scope_variables(self) -> dict[str, Json]:
        """The variables visible in this frame: its own hide those of the outer scopes."""
        if self.visible is None:
            self.visible = {**self.outer, **self.variables} if self.outer else self.variables
        return self.visible

    def assign(self, assigned: dict[str, Json]) -> None:
        """Set variables of this scope, all at once."""
        self.variables = {**self.variables, **assigned}
        self.visible = None


@dataclass(frozen=True, slots=True)
class Identity:
    """What never changes in an execution and its expressions can see."""

    execution_arn: str
    name: str
    role_arn: str
    machine_arn: str
    machine_name: str
    started_at: float
    input: Payload


@dataclass(slots=True)
class Frontier:
    """The whole state of one execution between two steps."""

    identity: Identity
    frames: dict[int, Frame] = field(default_factory=dict)
    next_frame: int = 0
    next_ticket: int = 1
    status: Status = Status.RUNNING
    output: Payload | None = None
    error: str | None = None
    cause: str | None = None
    deadline: float | None = None
    redrive_count: int = 0
    touched: set[int] = field(default_factory=set)
    """Frames changed since the last commit; those no longer in `frames` were removed."""
    arrived: list[tuple[int, int]] = field(default_factory=list)
    """Results (frame, index) that came in since the last commit; an index that is neither among the
    join's results nor its failures was forgotten by a redrive."""

    variables_bound: int | None = field(default=None, compare=False)
    """Bytes that the variables of all frames hold at most; None: not counted since loading."""

    def children(self, parent: int) -> Iterator[Frame]:
        """The frames directly below a frame."""
        return (frame for frame in self.frames.values() if frame.parent == parent)
