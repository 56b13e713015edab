"""An execution that was loaded from storage goes on: what it waits for is found in its frames."""

from __future__ import annotations

from typing import Any

from tests.conformance.harness import Answer, Player
from tests.unit.workflows.asl.playing import ByName, Fields, machine, only, task
from torpor.workflows.asl.advance import advance
from torpor.workflows.asl.events import End, ReadItems, Redrive, WriteResults
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.resume import abandon, outstanding, unfinished
from torpor.workflows.asl.run import Limits

NEVER = 1e9
SPREAD = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
READER = {
    "Resource": "arn:aws:states:::s3:getObject",
    "Parameters": {"Bucket": "b", "Key": "k"},
    "ReaderConfig": {"InputType": "JSON"},
}
WRITER = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b"}}


def branches(*names: str) -> Fields:
    found = [machine(name, {name: task(name, End=True)}) for name in names]
    return {"Type": "Parallel", "Branches": found}


def spread(**fields: Any) -> Fields:
    processor = machine("I", {"I": {"Type": "Pass", "End": True}}, ProcessorConfig=SPREAD)
    return {"Type": "Map", "ItemProcessor": processor, **fields}


class Asked:
    """A store that gives answers in turn and remembers what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[ReadItems | WriteResults] = []

    def __call__(self, request: ReadItems | WriteResults) -> Answer:
        self.asked.append(request)
        return self.answers.pop(0)


def test_unanswered_tasks_are_dispatched_again_under_their_tickets() -> None:
    player = Player(only(branches("a", "b")), ByName(a=None, b=None))
    player.begin()
    player.play()
    again = outstanding(player.program, player.frontier)
    assert [(call.frame, call.ticket) for call in again] == [
        (call.frame, call.ticket) for call in player.calls
    ]
    assert [call.resource.name for call in again] == ["a", "b"]


def test_what_a_map_run_reads_and_writes_is_asked_for_again() -> None:
    store = Asked(Answer([], seconds=NEVER), Answer([1, 2]), Answer({}, seconds=NEVER), Answer({}))
    player = Player(only(spread(ItemReader=READER, ResultWriter=WRITER)), store=store)
    player.begin()
    player.play(until=player.world.time + 1)
    (again,) = unfinished(player.frontier)
    player.send(again)
    player.play(until=player.world.time + 1)
    assert [type(item) for item in store.asked] == [ReadItems, ReadItems, WriteResults]
    (again,) = unfinished(player.frontier)
    player.send(again)
    assert player.play().status is Status.SUCCEEDED
    assert isinstance(store.asked[-1], WriteResults)
    assert len({item.ticket for item in store.asked}) == len(store.asked)


def test_an_execution_that_the_engine_cannot_go_on_with_ends_with_the_reason() -> None:
    player = Player(only(task()), ByName(work=None))
    player.begin()
    step = abandon(player.program, player.frontier, player.world, "its definition is unreadable")
    assert [event.type for event in step.history] == ["ExecutionFailed"]
    assert any(isinstance(effect, End) for effect in step.effects)
    assert (player.frontier.status, player.frontier.cause) == (
        Status.FAILED,
        "its definition is unreadable",
    )
    again = abandon(player.program, player.frontier, player.world, "twice")
    assert (again.history, again.effects) == ([], [])


def test_a_parallel_that_timed_out_before_a_branch_ended_begins_anew() -> None:
    worker = ByName(a=Answer(1, seconds=90), b=Answer(2, seconds=90))
    player = Player(only(branches("a", "b"), TimeoutSeconds=60), worker)
    assert player.run().status is Status.TIMED_OUT
    worker.answers = {"a": Answer(1), "b": Answer(2)}
    player.send(Redrive())
    outcome = player.play()
    assert (outcome.status, outcome.output) == (Status.SUCCEEDED, [1, 2])


def test_nothing_is_done_again_of_what_is_over() -> None:
    player = Player(only({"Type": "Pass"}))
    player.run()
    assert outstanding(player.program, player.frontier) == []
    assert unfinished(player.frontier) == []
    limits = Limits()
    assert advance(player.program, player.frontier, Redrive(), player.world, limits).history == []
