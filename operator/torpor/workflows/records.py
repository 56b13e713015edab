"""What the ledger stores and the engine and the API speak of: definitions, executions, history.

Times are seconds since the epoch. ARNs have AWS's form, so that AWS's clients accept them:
`arn:aws:states:<region>:<account>:stateMachine:<name>`; a Workflow of a cluster is the machine
`<namespace>.<name>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.scope import Json

T = TypeVar("T")


class MachineType(StrEnum):
    """Whether executions are durable and exactly-once (STANDARD) or in memory (EXPRESS)."""

    STANDARD = "STANDARD"
    EXPRESS = "EXPRESS"


class MachineStatus(StrEnum):
    """A machine that is DELETING takes no new executions."""

    ACTIVE = "ACTIVE"
    DELETING = "DELETING"


@dataclass(frozen=True, slots=True)
class Options:
    """What a machine has besides its definition.

    `resources` maps Resource strings to Function names; `concurrency_limit` bounds the executions
    that run at once per `concurrency_key` (a JSONata expression over the input; None: one key).
    `retention_days` is how long ended executions and their history stay. `namespace` is where the
    names of Functions are looked up. A machine that a Workflow asked for has that object's uid in
    `workflow_uid`, and in `deletion_policy` (Drain or Stop) what becomes of its running executions
    when the Workflow is deleted.
    """

    namespace: str = "default"
    resources: Mapping[str, str] = field(default_factory=dict)
    concurrency_limit: int | None = None
    concurrency_key: str | None = None
    retention_days: int = 90
    payload_bytes: int | None = None
    timeout_seconds: float | None = None
    logging: Mapping[str, Json] = field(default_factory=dict)
    tracing: Mapping[str, Json] = field(default_factory=dict)
    workflow_uid: str | None = None
    deletion_policy: str = "Drain"


@dataclass(frozen=True, slots=True)
class Machine:
    """A state machine as its latest revision stands. `definition` is the text as it was given."""

    arn: str
    name: str
    type: MachineType
    definition: str
    role_arn: str
    created_at: float
    updated_at: float
    revision_id: str
    status: MachineStatus = MachineStatus.ACTIVE
    options: Options = Options()
    description: str | None = None


@dataclass(frozen=True, slots=True)
class MachineVersion:
    """A published, immutable revision: `<machine arn>:<number>`."""

    arn: str
    machine_arn: str
    number: int
    revision_id: str
    description: str | None
    created_at: float


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for one or two versions with weights in per cent: `<machine arn>:<name>`."""

    arn: str
    name: str
    machine_arn: str
    description: str | None
    routing: tuple[tuple[str, int], ...]
    created_at: float
    updated_at: float

    def pick(self, chance: float) -> str:
        """The ARN of the version that a chance in [0, 1) falls on, by the weights."""
        reached = 0.0
        for version_arn, weight in self.routing:
            reached += weight / 100
            if chance < reached:
                return version_arn
        return self.routing[-1][0]


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution as DescribeExecution tells it.

    One that another execution started has that one's ARN in `parent_arn`, the key of the task that
    did in `parent_task`, and in `depth` through how many others it was started.
    """

    arn: str
    name: str
    machine_arn: str
    revision_id: str
    shard: int
    status: Status
    input: Payload
    started_at: float
    stopped_at: float | None = None
    output: Payload | None = None
    error: str | None = None
    cause: str | None = None
    redrive_count: int = 0
    redriven_at: float | None = None
    machine_version_arn: str | None = None
    alias_arn: str | None = None
    parent_arn: str | None = None
    trace_header: str | None = None
    parent_task: str | None = None
    depth: int = 0


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One stored history event; `details` has payloads as JSON text, as the API gives it."""

    id: int
    previous: int
    type: str
    at: float
    details: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Activity:
    """An activity that workers poll for tasks."""

    arn: str
    name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class MapRunSummary:
    """One Map Run as DescribeMapRun tells it; counts of children by status.

    Redrives are counted where one Map Run is asked for, not where several are listed.
    """

    arn: str
    execution_arn: str
    machine_arn: str
    status: Status
    started_at: float
    stopped_at: float | None
    max_concurrency: int
    tolerated_count: float
    tolerated_percentage: float
    total: int
    succeeded: int
    failed: int
    running: int
    redrive_count: int = 0
    redriven_at: float | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing and the token of the next, None at the end."""

    items: tuple[T, ...]
    next_token: str | None = None
