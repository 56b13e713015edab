"""Task: time-outs, heartbeats, tokens, activities, credentials, and answers that come too late."""

from __future__ import annotations

import pytest

from tests.conformance.harness import Answer, Player
from tests.unit.workflows.asl.playing import Fields, Script, failure, machine, only, task
from torpor.workflows.asl.events import (
    ActivityStarted,
    Cancel,
    HeartbeatMissed,
    TaskFailed,
    TaskSubmitted,
    TaskSucceeded,
    TimerFired,
)
from torpor.workflows.asl.frontier import Phase, Status
from torpor.workflows.asl.payload import Payload

CALLBACK = "arn:aws:states:::lambda:invoke.waitForTaskToken"
ACTIVITY = "arn:aws:states:us-east-1:111111111111:activity:approve"


def waiting(state: Fields) -> Player:
    player = Player(only(state), lambda call: None)
    player.begin()
    return player


def test_a_task_longer_than_its_time_out_fails_with_states_timeout() -> None:
    outcome = Player(only(task(TimeoutSeconds=5)), Script(Answer(1, seconds=6))).run()
    assert (outcome.status, outcome.error, outcome.cause) == (Status.FAILED, "States.Timeout", None)
    assert outcome.types[-2:] == ["LambdaFunctionTimedOut", "ExecutionFailed"]


def test_a_time_out_by_path_and_by_expression() -> None:
    by_path = task(TimeoutSecondsPath="$.t")
    by_expression = task(QueryLanguage="JSONata", TimeoutSeconds="{% $states.input.t %}")
    for state in (by_path, by_expression):
        player = Player(only(state), Script(Answer(1, seconds=6)))
        assert player.run({"t": 5}).error == "States.Timeout"
        assert Player(only(state), Script(Answer(1, seconds=6))).run({"t": 7}).output == 1


@pytest.mark.parametrize("value", [0, -1, 1.5, "5", None, 100_000_000, True])
def test_a_time_out_that_is_no_positive_integer_fails_the_execution(value: object) -> None:
    outcome = Player(only(task(TimeoutSecondsPath="$.t"))).run({"t": value})
    assert outcome.error == "States.Runtime"
    assert "TimeoutSecondsPath" in (outcome.cause or "")


def test_a_retry_has_a_time_out_of_its_own() -> None:
    state = task(TimeoutSeconds=5, Retry=[{"ErrorEquals": ["States.Timeout"]}])
    script = Script(Answer(1, seconds=60), Answer(2, seconds=4))
    outcome = Player(only(state), script).run()
    assert (outcome.output, len({call.ticket for call in outcome.calls})) == (2, 2)


def test_a_missed_heartbeat_times_the_task_out() -> None:
    player = waiting(task(HeartbeatSeconds=5))
    (call,) = player.calls
    assert call.heartbeat == 5
    step = player.step(HeartbeatMissed(call.frame, call.ticket))
    assert player.frontier.error == "States.HeartbeatTimeout"
    assert Cancel(call.frame, call.ticket) in step.effects


def test_a_token_task_goes_on_when_somebody_answers() -> None:
    parameters = {"FunctionName": "ask", "Payload": {"token.$": "$$.Task.Token"}}
    player = waiting({"Type": "Task", "Resource": CALLBACK, "Parameters": parameters})
    (call,) = player.calls
    token = call.argument.value["Payload"]["token"]
    assert token == f"token/{call.frame}/{call.ticket}"
    player.send(TaskSubmitted(call.frame, call.ticket, Payload({"sent": True})))
    assert player.frontier.frames[0].phase is Phase.TOKEN
    player.send(TaskSucceeded(call.frame, call.ticket, Payload("yes")))
    assert player.outcome().output == "yes"
    assert player.outcome().types[2:-2] == [
        "TaskScheduled",
        "TaskStarted",
        "TaskSubmitted",
        "TaskSucceeded",
    ]


def test_an_answer_by_token_may_come_before_the_service_answered() -> None:
    player = waiting({"Type": "Task", "Resource": CALLBACK, "Parameters": {"FunctionName": "ask"}})
    (call,) = player.calls
    player.send(TaskSucceeded(call.frame, call.ticket, Payload("yes")))
    player.send(TaskSubmitted(call.frame, call.ticket, Payload("late")))
    assert player.outcome().output == "yes"


def test_an_activitys_time_out_begins_when_a_worker_has_it() -> None:
    player = waiting({"Type": "Task", "Resource": ACTIVITY, "TimeoutSeconds": 10})
    (call,) = player.calls
    assert player.frontier.frames[0].due is None
    player.world.time += 100
    player.send(ActivityStarted(call.frame, call.ticket, "me"))
    assert player.frontier.frames[0].due == player.world.time + 10
    assert player.play().types[2:] == [
        "ActivityScheduled",
        "ActivityStarted",
        "ActivityTimedOut",
        "ExecutionFailed",
    ]


def test_late_and_repeated_events_change_nothing() -> None:
    state = task(Retry=[{"ErrorEquals": ["E"]}])
    player = Player(only(state), Script(failure("E"), None))
    player.begin()
    player.play()
    first, second = player.calls
    before = len(player.all_history)
    for event in (
        TaskSucceeded(first.frame, first.ticket, Payload("late")),
        TaskFailed(first.frame, first.ticket, "E", None),
        TimerFired(first.frame, first.ticket),
        TaskSucceeded(99, second.ticket, Payload("nobody's")),
    ):
        step = player.step(event)
        assert (step.history, step.effects, step.more) == ([], [], False)
    assert len(player.all_history) == before
    assert player.frontier.frames[0].ticket == second.ticket


def test_credentials_are_told_with_the_schedule() -> None:
    state = task(Credentials={"RoleArn.$": "$.role"})
    outcome = Player(only(state), Script(Answer(1))).run({"role": "arn:r"})
    scheduled = next(e for e in outcome.history if e.type == "LambdaFunctionScheduled")
    assert scheduled.details["taskCredentials"] == {"roleArn": "arn:r"}


def test_a_result_over_the_quota_is_data_limit_exceeded() -> None:
    outcome = Player(only(task("big")), Script(Answer("x" * 300_000))).run()
    assert outcome.error == "States.DataLimitExceeded"
    assert outcome.types[-2:] == ["LambdaFunctionFailed", "ExecutionFailed"]


def test_an_output_over_the_quota_is_data_limit_exceeded() -> None:
    double = {"Type": "Pass", "Parameters": {"a.$": "$", "b.$": "$"}}
    outcome = Player(only(double)).run("x" * 200_000)
    assert outcome.error == "States.DataLimitExceeded"


def test_big_numbers_unicode_and_deep_values_pass_unchanged() -> None:
    deep: object = 2**70
    for _ in range(200):
        deep = [{"ключ 🎉": deep}]
    outcome = Player(only({"Type": "Pass"})).run(deep)
    assert outcome.output == deep
    name = "Étape n° 1 — été"
    states = {name: {"Type": "Pass", "End": True}}
    assert Player(machine(name, states)).run().status is Status.SUCCEEDED
