"""Redrive: what failed runs again, what succeeded is kept."""

from __future__ import annotations

from typing import Any

from tests.conformance.harness import Answer, Outcome, Player
from tests.unit.workflows.asl.playing import ByName, Script, failure, machine, only, task
from torpor.workflows.asl.events import Dispatch, Redrive
from torpor.workflows.asl.frontier import Status


def redriven(player: Player) -> Outcome:
    player.send(Redrive())
    return player.play()


def test_a_failed_task_runs_again_with_its_input_and_new_retries() -> None:
    state = task(Retry=[{"ErrorEquals": ["E"], "MaxAttempts": 1}])
    player = Player(only(state), Script(failure("E"), failure("E"), failure("E"), Answer("done")))
    assert player.run({"a": 1}).status is Status.FAILED
    outcome = redriven(player)
    assert (outcome.status, outcome.output) == (Status.SUCCEEDED, "done")
    assert [call.argument.value for call in outcome.calls] == [{"a": 1}] * 4
    assert "ExecutionRedriven" in outcome.types


def test_only_the_branches_that_did_not_succeed_run_again() -> None:
    branches = [machine(name, {name: task(name, End=True)}) for name in ("good", "bad", "slow")]
    answers = {"good": Answer(1), "bad": failure("E", seconds=2), "slow": Answer(3, seconds=5)}
    worker = ByName(**answers)
    player = Player(only({"Type": "Parallel", "Branches": branches}), worker)
    assert player.run().status is Status.FAILED
    worker.answers["bad"] = Answer(2)
    assert redriven(player).output == [1, 2, 3]
    assert worker.calls == ["good", "bad", "slow", "bad", "slow"]


def test_only_the_iterations_that_did_not_succeed_run_again() -> None:
    broken = {3}

    def work(call: Dispatch) -> Answer:
        item = call.argument.value
        return failure("E", seconds=1) if item in broken else Answer(item, seconds=1)

    processor = machine("I", {"I": task(End=True)})
    state = {"Type": "Map", "ItemProcessor": processor, "MaxConcurrency": 2}
    player = Player(only(state), work)
    assert player.run([0, 1, 2, 3, 4, 5]).status is Status.FAILED
    broken.clear()
    outcome = redriven(player)
    assert outcome.output == [0, 1, 2, 3, 4, 5]
    assert sorted(call.argument.value for call in outcome.calls) == [0, 1, 2, 3, 3, 4, 4, 5]


def test_only_the_children_of_a_map_run_that_did_not_succeed_run_again() -> None:
    broken = {1, 4}

    def work(call: Dispatch) -> Answer:
        item = call.argument.value
        return failure("E") if item in broken else Answer(item)

    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    processor = machine("I", {"I": task(End=True)}, ProcessorConfig=config)
    state = {"Type": "Map", "ItemProcessor": processor, "MaxConcurrency": 1}
    player = Player(only({**state, "ToleratedFailureCount": 1}), work)
    assert player.run([0, 1, 2, 3, 4, 5]).status is Status.FAILED
    broken.clear()
    outcome = redriven(player)
    assert outcome.output == [0, 1, 2, 3, 4, 5]
    assert sorted(call.argument.value for call in outcome.calls) == [0, 1, 1, 2, 3, 4, 4, 5]
    assert "MapRunRedriven" in outcome.types


def test_a_redriven_map_run_goes_on_at_the_first_item_without_a_trace() -> None:
    """As the ledger, which does not keep the index, finds it again."""

    answers = {1: failure("E"), 2: Answer("done")}

    def work(call: Dispatch) -> Answer | None:
        return answers.get(call.argument.value)

    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    processor = machine("I", {"I": task(End=True)}, ProcessorConfig=config)
    state = {"Type": "Map", "ItemProcessor": processor, "MaxConcurrency": 2}
    player = Player(only({**state, "ToleratedFailureCount": 1}), work)
    player.begin([0, 1, 2])
    player.play()
    player.stop()
    player.send(Redrive())
    [join] = [frame.join for frame in player.frontier.frames.values() if frame.join]
    assert list(join.results) == [2]
    assert join.next_index == join.total


def test_a_stopped_wait_waits_again() -> None:
    player = Player(only({"Type": "Wait", "Seconds": 60}))
    player.begin()
    player.stop()
    assert redriven(player).status is Status.SUCCEEDED


def test_a_redriven_execution_has_its_whole_time_again() -> None:
    player = Player(only({"Type": "Wait", "Seconds": 60}, TimeoutSeconds=50))
    assert player.run().status is Status.TIMED_OUT
    player.send(Redrive())
    assert player.frontier.deadline == player.world.time + 50


def test_a_fail_state_fails_again_and_the_context_counts() -> None:
    state: dict[str, Any] = {
        "Type": "Fail",
        "CausePath": "States.Format('{}', $$.Execution.RedriveCount)",
    }
    player = Player(only(state))
    assert player.run().cause == "0"
    assert redriven(player).cause == "1"


def test_what_succeeded_or_still_runs_is_not_redriven() -> None:
    player = Player(only(task()), Script(Answer(1, seconds=1)))
    player.begin()
    assert player.step(Redrive()).history == []
    player.play()
    assert player.step(Redrive()).history == []
