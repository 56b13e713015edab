"""Whatever an execution does, the rows of its commits give back its frontier, exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.harness import VirtualWorld
from tests.support.ledger_rig import (
    CHAIN,
    ONE_TASK,
    TASK,
    an_execution,
    comparable,
    distributed,
    identity_of,
    map_over,
)
from torpor.workflows.asl.advance import advance
from torpor.workflows.asl.compile import compile_program
from torpor.workflows.asl.events import (
    Continue,
    HeartbeatMissed,
    Input,
    Redrive,
    Start,
    Step,
    Stop,
    TaskFailed,
    TaskSubmitted,
    TaskSucceeded,
    TimedOut,
    TimerFired,
)
from torpor.workflows.asl.frontier import Frame, Frontier, Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.base import Commit, Owned
from torpor.workflows.ledger.codec import FrameRow, Memory, ResultRow
from torpor.workflows.ledger.decoding import Outcome, Rows, decode
from torpor.workflows.ledger.encoding import Encoded, encode_commit
from torpor.workflows.ledger.mail import decode_event, encode_event
from torpor.workflows.ledger.values import dump, encode_text, fragment, parse, stored_payload

RETRY = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 2, "MaxAttempts": 2}]
CATCH = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]
PARALLEL: dict[str, Any] = {
    "StartAt": "Set",
    "TimeoutSeconds": 3_000,
    "States": {
        "Set": {"Type": "Pass", "Assign": {"big": 2**70, "v.$": "$.items"}, "Next": "Both"},
        "Both": {
            "Type": "Parallel",
            "Retry": RETRY,
            "Catch": CATCH,
            "Branches": [
                CHAIN,
                {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 9, "End": True}}},
                map_over(map_over(ONE_TASK, ItemsPath="$"), MaxConcurrency=2),
            ],
            "Next": "Last",
        },
        "Last": {**TASK, "TimeoutSeconds": 60, "HeartbeatSeconds": 9, "End": True},
        "Caught": {"Type": "Pass", "Assign": {"caught": True}, "Next": "Last"},
    },
}
SELECTED = map_over(
    {"StartAt": "T", "States": {"T": {**TASK, "Retry": RETRY, "Next": "P"}, "P": PARALLEL}},
    ItemSelector={"value.$": "$$.Map.Item.Value", "items.$": "$.items"},
    MaxConcurrency=2,
)
SELECTED["States"]["Each"]["ItemProcessor"]["States"]["P"] = {
    "Type": "Parallel",
    "Branches": [ONE_TASK, CHAIN],
    "End": True,
}
DEFINITIONS = [
    CHAIN,
    PARALLEL,
    SELECTED,
    map_over(CHAIN, MaxConcurrency=3, Catch=[{**CATCH[0], "Next": "Each"}]),
    distributed(CHAIN, MaxConcurrency=2, ToleratedFailureCount=2),
    distributed(
        SELECTED,
        ItemsPath="$.items",
        ToleratedFailurePercentage=40,
        ItemBatcher={"MaxItemsPerBatch": 2},
    ),
]
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    scalars | texts | st.sampled_from(["long " * 1_000, "é" * 5_000, 2**90]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
items = st.lists(st.lists(values, max_size=3), max_size=6)


class Tables:
    """What the ledger's tables hold of one execution."""

    def __init__(self) -> None:
        self.frames: dict[int, FrameRow] = {}
        self.results: dict[tuple[int, int], ResultRow] = {}
        self.blobs: dict[bytes, Payload] = {}
        self.memory: Memory | None = Memory()

    def apply(self, one: Encoded) -> None:
        for id in one.delta.removed:
            self.frames.pop(id, None)
        for row in one.delta.frames:
            self.frames[row.frame] = row
        for id in one.delta.cleared:
            self.results = {at: row for at, row in self.results.items() if at[0] != id}
        for at in one.delta.forgotten:
            self.results.pop(at, None)
        for result in one.delta.results:
            self.results[result.frame, result.child] = result
        for digest, payload in one.blobs.bodies.items():
            self.blobs[digest] = stored_payload(encode_text(payload.text))
        self.header = one.delta.header
        self.memory = one.after

    def load(self, frontier: Frontier) -> tuple[Frontier, Memory]:
        rows = Rows(self.header)
        for frame in self.frames.values():
            rows.add_frame(frame)
        for result in self.results.values():
            rows.add_result(result)
        assert set(rows.digests()) <= self.blobs.keys()
        outcome = Outcome(
            frontier.status,
            frontier.output,
            frontier.error,
            frontier.cause,
            frontier.redrive_count,
        )
        return decode(rows, frontier.identity, outcome, self.blobs)


def events_for(frame: Frame, value: Any) -> list[Input]:
    id, ticket = frame.id, frame.ticket
    return [
        TaskSucceeded(id, ticket, Payload(value)),
        TaskSucceeded(id, ticket, Payload(value)),
        TaskSucceeded(id, ticket, Payload(value)),
        TaskFailed(id, ticket, "Error", "because"),
        TaskSubmitted(id, ticket, Payload(value)),
        TimerFired(id, ticket),
        TimerFired(id, ticket),
        HeartbeatMissed(id, ticket),
    ]


@settings(max_examples=150)
@given(st.sampled_from(DEFINITIONS), items, st.data())
def test_the_rows_of_its_commits_give_back_the_frontier(
    definition: dict[str, Any], items: list[Any], data: st.DataObject
) -> None:
    program, world = compile_program(definition), VirtualWorld()
    execution = an_execution("p", {"items": items})
    frontier, tables = Frontier(identity_of(execution)), Tables()

    def send(event: Input) -> Step:
        step = advance(program, frontier, event, world, budget=30)
        commit = Commit(Owned(0, 1), execution.arn, frontier, step.history)
        assert tables.memory is not None
        tables.apply(encode_commit(commit, tables.memory))
        frontier.touched.clear()
        frontier.arrived.clear()
        return step

    step = send(Start())
    for _ in range(data.draw(st.integers(0, 40))):
        if frontier.status is Status.SUCCEEDED:
            assert not tables.frames
            assert not tables.results
            return
        loaded, memory = tables.load(frontier)
        for id, frame in comparable(frontier)["frames"].items():
            assert comparable(loaded)["frames"][id] == frame
        assert comparable(loaded) == comparable(frontier)
        assert tables.memory is not None
        assert memory.joined <= tables.memory.joined
        if frontier.status is Status.RUNNING:
            assert memory.runs == tables.memory.runs
        if data.draw(st.booleans()):
            frontier, tables.memory = loaded, memory
        step = send(_next(frontier, step, data.draw))


def _next(frontier: Frontier, step: Step, draw: Callable[..., Any]) -> Input:
    if frontier.status is not Status.RUNNING:
        return Redrive()
    if step.more:
        return Continue()
    if draw(st.integers(0, 15)) == 0:
        return draw(st.sampled_from([Stop("E", "c"), TimedOut()]))  # type: ignore[no-any-return]
    frame = draw(st.sampled_from(sorted(frontier.frames.values(), key=lambda one: one.id)))
    return draw(st.sampled_from(events_for(frame, draw(values))))  # type: ignore[no-any-return]


@given(values)
def test_stored_values_come_back_exactly(value: Any) -> None:
    assert parse(dump({"v": fragment(value)})) == {"v": value}
    event = TaskSucceeded(1, 2, Payload(value))
    assert decode_event(encode_event(event)) == event
