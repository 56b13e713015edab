"""A compiled definition: what every state is, with all its expressions ready to evaluate.

A `Program` is immutable and shared by every execution of one definition version. Nested machines
(the branches of a Parallel, the processor of a Map) are `Block`s with a number of their own, so
that a frame of the frontier points to its place by (block number, state name).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torpor.workflows.asl.choice import Rule
from torpor.workflows.asl.reading import Reading, Setting
from torpor.workflows.asl.recovery import Catcher, Retrier
from torpor.workflows.asl.resource import Resource
from torpor.workflows.asl.scope import Json, QueryLanguage
from torpor.workflows.asl.template import Template


@dataclass(frozen=True, slots=True)
class State:
    """What every state has (ASL, "States").

    `next` is None where the state ends its block. `uses_context` is False when no expression of the
    state can see the context object, so that none is built. Fields of the other query language are
    None.
    """

    name: str
    language: QueryLanguage
    next: str | None
    uses_context: bool
    input_path: Reading | None
    output_path: Reading | None
    assign: Template | None
    output: Template | None

    kind = "State"


@dataclass(frozen=True, slots=True)
class Succeed(State):
    """Ends the block successfully."""

    kind = "Succeed"


@dataclass(frozen=True, slots=True)
class Fail(State):
    """Ends the block with an error and a cause; both may be computed."""

    error: Setting | None
    cause: Setting | None

    kind = "Fail"


@dataclass(frozen=True, slots=True)
class Pass(State):
    """Passes its input on, or a fixed result, or a template of it."""

    parameters: Template | None
    result: Json
    has_result: bool
    result_path: str | None

    kind = "Pass"


@dataclass(frozen=True, slots=True)
class Wait(State):
    """Waits for a number of seconds, or until a time; exactly one of the two is set."""

    seconds: Setting | None
    timestamp: Setting | None

    kind = "Wait"


@dataclass(frozen=True, slots=True)
class Branch:
    """One rule of a Choice: where to go when `rule` matches, with what to assign and put out."""

    rule: Rule
    next: str
    assign: Template | None
    output: Template | None


@dataclass(frozen=True, slots=True)
class Choice(State):
    """Goes where the first matching rule says; `next` is the Default."""

    branches: tuple[Branch, ...]

    kind = "Choice"


@dataclass(frozen=True, slots=True)
class Working(State):
    """What Task, Parallel and Map share: arguments in, a result out, retries and catchers."""

    parameters: Template | None
    result_selector: Template | None
    result_path: str | None
    retriers: tuple[Retrier, ...]
    catchers: tuple[Catcher, ...]


@dataclass(frozen=True, slots=True)
class Task(Working):
    """Has work done by a resource."""

    resource: Resource
    timeout: Setting | None
    heartbeat: Setting | None
    credentials: Template | None

    kind = "Task"


@dataclass(frozen=True, slots=True)
class Parallel(Working):
    """Runs every branch with the same input; the result is the list of their outputs."""

    branches: tuple[int, ...]

    kind = "Parallel"


@dataclass(frozen=True, slots=True)
class ItemReader:
    """Where a distributed Map reads its items (ASL, "ItemReader")."""

    resource: str
    arguments: Template | None
    config: Mapping[str, Json]
    max_items: Setting | None


@dataclass(frozen=True, slots=True)
class ItemBatcher:
    """How a distributed Map groups items (ASL, "ItemBatcher"); sizes in items and bytes."""

    batch_input: Template | None
    max_items: Setting | None
    max_bytes: Setting | None


@dataclass(frozen=True, slots=True)
class ResultWriter:
    """Where a distributed Map writes the results of its items (ASL, "ResultWriter")."""

    resource: str | None
    arguments: Template | None
    config: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Map(Working):
    """Runs its processor once for each item, `max_concurrency` at a time (0: no limit)."""

    block: int
    distributed: bool
    express: bool
    label: str | None
    items: Reading | Template | None
    item_selector: Template | None
    max_concurrency: Setting | None
    tolerated_count: Setting | None
    tolerated_percentage: Setting | None
    reader: ItemReader | None
    batcher: ItemBatcher | None
    writer: ResultWriter | None

    kind = "Map"


@dataclass(frozen=True, slots=True)
class Block:
    """One machine: the whole definition, a branch, or a Map's processor."""

    number: int
    start_at: str
    states: Mapping[str, State]


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled definition. `blocks[0]` is the machine itself; time-out in seconds.

    `light` says that a step of it takes little when its data is small (see `light`).
    """

    blocks: tuple[Block, ...]
    timeout_seconds: float | None = None
    resources: tuple[tuple[str, Resource], ...] = field(default=())
    light: bool = False
