"""Distributed Map: children of their own, batches, tolerated failures, reader, writer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.harness import Answer, Outcome, Player
from tests.unit.workflows.asl.playing import Fields, failure, machine, only, task
from torpor.workflows.asl.events import MapRunChanged, ReadItems, WriteResults
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.run import Limits

CONFIG = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
THRESHOLD = "States.ExceedToleratedFailureThreshold"


def distributed(state: Fields, **fields: Any) -> Fields:
    processor = machine("I", {"I": {**state, "End": True}}, ProcessorConfig=CONFIG)
    return {"Type": "Map", "ItemProcessor": processor, **fields}


def batches(batcher: Fields, items: list[Any], **fields: Any) -> Any:
    state = distributed({"Type": "Pass"}, ItemBatcher=batcher, **fields)
    return Player(only(state)).run(items).output


def with_failures(items: list[Any], **fields: Any) -> Outcome:
    """Runs children of which those with the item 0 fail."""

    def work(call: Any) -> Answer:
        return Answer("ok") if call.argument.value else failure("Zero", "none")

    return Player(only(distributed(task(), **fields)), work).run(items)


def test_a_child_has_its_own_history() -> None:
    outcome = Player(only(distributed({"Type": "Pass"}, Label="Each"))).run([1])
    child = [event for event in outcome.all_history if event.scope]
    assert [(event.id, event.type) for event in child] == [
        (1, "ExecutionStarted"),
        (2, "PassStateEntered"),
        (3, "PassStateExited"),
        (4, "ExecutionSucceeded"),
    ]
    assert ":mapRun:machine/Each:" in child[0].scope
    assert outcome.types[3:5] == ["MapRunStarted", "MapRunSucceeded"]


def test_a_child_is_another_execution_in_its_context() -> None:
    state = distributed({"Type": "Pass", "Parameters": {"id.$": "$$.Execution.Id"}})
    (output,) = Player(only(state)).run([1]).output
    assert ":execution:machine/Only:" in output["id"]


def test_children_see_no_outer_variables() -> None:
    inner = {"Type": "Pass", "Parameters": {"x.$": "$seen"}}
    states = {
        "First": {"Type": "Pass", "Assign": {"seen": 1}, "Next": "Each"},
        "Each": {**distributed(inner), "End": True},
    }
    outcome = Player(machine("First", states)).run([1])
    assert (outcome.status, outcome.error) == (Status.FAILED, THRESHOLD)


def test_batches_of_so_many_items() -> None:
    assert batches({"MaxItemsPerBatch": 2}, [1, 2, 3]) == [{"Items": [1, 2]}, {"Items": [3]}]


def test_batches_of_so_many_bytes() -> None:
    fits = len('{"Items":["aaaa","bbbb"]}')
    two, one = [{"Items": ["aaaa", "bbbb"]}], [{"Items": ["aaaa"]}, {"Items": ["bbbb"]}]
    assert batches({"MaxInputBytesPerBatch": fits}, ["aaaa", "bbbb"]) == two
    assert batches({"MaxInputBytesPerBatch": fits - 1}, ["aaaa", "bbbb"]) == one


def test_an_item_larger_than_a_batch_is_alone_in_one() -> None:
    assert batches({"MaxInputBytesPerBatch": 1}, ["aaaa"]) == [{"Items": ["aaaa"]}]


def test_batch_sizes_and_input_come_from_the_input() -> None:
    batcher = {"MaxItemsPerBatchPath": "$.most", "BatchInput": {"run.$": "$.name"}}
    state = distributed(
        {"Type": "Pass"},
        ItemsPath="$.items",
        ItemSelector={"v.$": "$$.Map.Item.Value"},
        ItemBatcher=batcher,
    )
    outcome = Player(only(state)).run({"items": [1, 2, 3], "most": 2, "name": "n"})
    assert outcome.output == [
        {"BatchInput": {"run": "n"}, "Items": [{"v": 1}, {"v": 2}]},
        {"BatchInput": {"run": "n"}, "Items": [{"v": 3}]},
    ]


def test_a_batch_is_never_over_the_payload_quota() -> None:
    state = distributed({"Type": "Pass"}, ItemBatcher={"MaxItemsPerBatch": 100}, ResultPath=None)
    outcome = Player(only(state), limits=Limits(payload_bytes=100)).run(["x" * 20] * 4)
    assert outcome.status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, Status.FAILED),
        ({"ToleratedFailureCount": 1}, Status.FAILED),
        ({"ToleratedFailureCount": 2}, Status.SUCCEEDED),
        ({"ToleratedFailurePercentage": 49}, Status.FAILED),
        ({"ToleratedFailurePercentage": 50}, Status.SUCCEEDED),
        ({"ToleratedFailureCount": 4, "ToleratedFailurePercentage": 25}, Status.FAILED),
        ({"ToleratedFailureCount": 1, "ToleratedFailurePercentage": 100}, Status.FAILED),
    ],
)
def test_tolerated_failures(fields: Fields, status: Status) -> None:
    outcome = with_failures([0, 1, 0, 1], **fields)
    assert outcome.status is status
    if status is Status.FAILED:
        assert outcome.error == THRESHOLD
        assert outcome.types[-3:] == ["MapRunFailed", "MapStateFailed", "ExecutionFailed"]
    else:
        assert outcome.output[:2] == [{"Error": "Zero", "Cause": "none"}, "ok"]


def test_a_failed_batch_counts_with_all_its_items() -> None:
    state = distributed(task(), ItemBatcher={"MaxItemsPerBatch": 2}, ToleratedFailureCount=1)
    outcome = Player(only(state), lambda call: failure("E")).run([1, 2])
    assert outcome.error == THRESHOLD


def test_exceeding_the_threshold_is_caught() -> None:
    state = distributed(task(), Catch=[{"ErrorEquals": [THRESHOLD], "Next": "Caught"}], End=True)
    states = {"Each": state, "Caught": {"Type": "Pass", "End": True}}
    outcome = Player(machine("Each", states), lambda call: failure("E")).run([1])
    assert outcome.output["Error"] == THRESHOLD


def reading(**fields: Any) -> Fields:
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON", "MaxItems": 2},
        "Parameters": {"Bucket.$": "$.bucket", "Key": "items.json"},
    }
    return distributed({"Type": "Pass"}, ItemReader=reader, **fields)


def test_the_items_are_read_from_outside() -> None:
    asked: list[ReadItems | WriteResults] = []

    def store(request: ReadItems | WriteResults) -> Answer:
        asked.append(request)
        return Answer([1, 2], seconds=3)

    outcome = Player(only(reading()), store=store).run({"bucket": "b"})
    (request,) = asked
    assert isinstance(request, ReadItems)
    assert (request.arguments, request.max_items) == ({"Bucket": "b", "Key": "items.json"}, 2)
    assert outcome.output == [1, 2]
    assert outcome.types[2:4] == ["MapStateStarted", "MapRunStarted"]


def test_a_reader_that_fails_fails_the_map_run() -> None:
    store = lambda request: failure("States.ItemReaderFailed", "no such object")  # noqa: E731
    outcome = Player(only(reading()), store=store).run({"bucket": "b"})
    assert (outcome.error, outcome.cause) == ("States.ItemReaderFailed", "no such object")
    assert outcome.types[-3:] == ["MapRunFailed", "MapStateFailed", "ExecutionFailed"]


def test_the_results_are_written_outside_and_the_writers_answer_is_the_result() -> None:
    written: list[ReadItems | WriteResults] = []

    def store(request: ReadItems | WriteResults) -> Answer:
        written.append(request)
        return Answer({"MapRunArn": "m", "ResultWriterDetails": {"Key": "k"}})

    writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b"}}
    state = distributed(
        task(), ResultWriter=writer, ToleratedFailureCount=1, ResultSelector={"k.$": "$.MapRunArn"}
    )
    worker = lambda call: Answer("ok") if call.argument.value else failure("Zero")  # noqa: E731
    outcome = Player(only(state), worker, store=store).run([1, 0])
    (request,) = written
    assert isinstance(request, WriteResults)
    assert [record["Status"] for record in request.results] == ["SUCCEEDED", "FAILED"]
    assert outcome.output == {"k": "m"}


def test_the_children_of_a_failed_map_run_are_aborted() -> None:
    answers = {1: None, 0: failure("Zero")}
    state = distributed(task(), Catch=[{"ErrorEquals": [THRESHOLD], "Next": "Caught"}], End=True)
    states = {"Each": state, "Caught": {"Type": "Pass", "End": True}}
    player = Player(machine("Each", states), lambda call: answers[call.argument.value])
    outcome = player.run([1, 0])
    children = [event.type for event in outcome.all_history if event.scope.endswith(":0")]
    assert (outcome.status, children[-1]) == (Status.SUCCEEDED, "ExecutionAborted")


def test_the_limits_of_a_running_map_run_are_changed() -> None:
    player = Player(only(distributed(task(), MaxConcurrency=1)), lambda call: None)
    player.begin([1, 2, 3])
    (join,) = [frame.join for frame in player.frontier.frames.values() if frame.join]
    assert join.map_run is not None
    player.send(MapRunChanged(join.map_run, max_concurrency=3))
    assert len(player.calls) == 3


def test_stopping_aborts_the_children_and_cancels_their_tasks() -> None:
    player = Player(only(distributed(task())), lambda call: None)
    player.begin([1, 2])
    outcome = player.stop()
    children = {event.scope for event in outcome.all_history if event.type == "ExecutionAborted"}
    assert len(children) == 3
    assert outcome.types[-2:] == ["MapRunAborted", "ExecutionAborted"]
    assert outcome.status is Status.ABORTED
