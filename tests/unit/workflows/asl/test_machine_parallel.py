"""Parallel: branches, their order, their variables, and what a failing one does to the others."""

from __future__ import annotations

from typing import Any

from tests.conformance.harness import Answer, Player
from tests.unit.workflows.asl.playing import ByName, Fields, failure, machine, only, task
from torpor.workflows.asl.events import Cancel, TaskFailed
from torpor.workflows.asl.frontier import Status


def parallel(*branches: Fields, **fields: Any) -> Fields:
    machines = [machine("S", {"S": {**branch, "End": True}}) for branch in branches]
    return {"Type": "Parallel", "Branches": machines, **fields}


def test_outputs_are_in_the_order_of_the_branches() -> None:
    worker = ByName(slow=Answer("slow", seconds=9), fast=Answer("fast", seconds=1))
    outcome = Player(only(parallel(task("slow"), task("fast"))), worker).run()
    assert (outcome.output, outcome.most_in_flight) == (["slow", "fast"], 2)


def test_a_failing_branch_aborts_the_others_and_is_caught() -> None:
    branches = (task("bad"), task("slow"), {"Type": "Wait", "Seconds": 60})
    state = parallel(*branches, Catch=[{"ErrorEquals": ["Broken"], "Next": "Caught"}], End=True)
    worker = ByName(bad=failure("Broken", seconds=1), slow=Answer("late", seconds=9))
    states = {"All": state, "Caught": {"Type": "Pass", "End": True}}
    player = Player(machine("All", states), worker)
    outcome = player.run()
    assert outcome.output == {"Error": "Broken", "Cause": ""}
    assert outcome.types[-8:] == [
        "LambdaFunctionFailed",
        "TaskStateAborted",
        "WaitStateAborted",
        "ParallelStateFailed",
        "ParallelStateExited",
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]
    assert len(player.frontier.frames) == 0


def test_the_tasks_of_aborted_branches_are_cancelled() -> None:
    player = Player(only(parallel(task("bad"), task("slow"))), ByName(bad=None, slow=None))
    player.begin()
    bad, slow = player.calls
    step = player.step(TaskFailed(bad.frame, bad.ticket, "Broken", None))
    assert Cancel(slow.frame, slow.ticket) in step.effects
    assert player.frontier.status is Status.FAILED


def test_branches_see_outer_variables_and_keep_their_own() -> None:
    first = {"Type": "Pass", "Assign": {"shared": 1}, "Next": "All"}
    inner = {"Type": "Pass", "Assign": {"own": 2}, "Parameters": {"x.$": "$shared"}}
    last = {"Type": "Pass", "Parameters": {"x.$": "$own"}, "End": True}
    states = {"First": first, "All": parallel(inner, inner, Next="Last"), "Last": last}
    outcome = Player(machine("First", states)).run()
    assert outcome.error == "States.Runtime"
    states["Last"] = {"Type": "Succeed"}
    assert Player(machine("First", states)).run().output == [{"x": 1}, {"x": 1}]


def test_the_whole_is_retried_when_a_branch_fails() -> None:
    state = parallel(
        task("good"), task("bad"), Retry=[{"ErrorEquals": ["Broken"], "MaxAttempts": 2}]
    )
    worker = ByName(good=Answer(1), bad=failure("Broken", seconds=1))
    outcome = Player(only(state), worker).run()
    assert worker.calls.count("good") == 3
    assert outcome.waits == [1, 2]
    assert outcome.types.count("ParallelStateStarted") == 3
    assert outcome.types.count("ParallelStateFailed") == 1


def test_a_failing_result_selector_is_the_parallels_own_failure() -> None:
    state = parallel(
        {"Type": "Pass"},
        ResultSelector={"x.$": "$[7]"},
        Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
        End=True,
    )
    states = {"All": state, "Caught": {"Type": "Pass", "End": True}}
    outcome = Player(machine("All", states)).run()
    assert outcome.error == "States.Runtime"
    assert "executing the state 'All'" in (outcome.cause or "")


def test_parameters_result_selector_and_result_path_apply() -> None:
    state = parallel(
        {"Type": "Pass"},
        {"Type": "Pass", "Result": 2},
        Parameters={"v.$": "$.a"},
        ResultSelector={"second.$": "$[1]", "first.$": "$[0].v"},
        ResultPath="$.out",
    )
    outcome = Player(only(state)).run({"a": 1})
    assert outcome.output == {"a": 1, "out": {"second": 2, "first": 1}}


def test_map_in_parallel_in_map() -> None:
    inner = {
        "Type": "Map",
        "ItemProcessor": machine("I", {"I": {**task("work"), "End": True}}),
        "MaxConcurrency": 2,
    }
    outer = {
        "Type": "Map",
        "ItemProcessor": machine("P", {"P": {**parallel(inner, {"Type": "Pass"}), "End": True}}),
    }
    outcome = Player(only(outer), lambda call: Answer(call.argument.value * 10, seconds=1)).run(
        [[1, 2, 3], [], [4]]
    )
    assert outcome.output == [[[10, 20, 30], [1, 2, 3]], [[], []], [[40], [4]]]
