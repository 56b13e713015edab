"""The engine runs executions to their end, whatever happens on the way."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from tests.support import virtual_time
from tests.support.engine_rig import (
    KEY,
    make_engine,
    make_execution,
    make_machine,
    rig,
    running,
)
from tests.support.memory_ledger import MemoryLedger
from torpor.telemetry.metrics import WORKFLOW_STARTED
from torpor.workflows.asl.events import HeartbeatSeen, Input, Redrive, Stop
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.engine.base import Job, NotRedrivable, TaskGone, TaskRefused
from torpor.workflows.engine.concurrency import concurrency_lane
from torpor.workflows.engine.tokens import TaskTokens
from torpor.workflows.engine.world import WallClock, World
from torpor.workflows.records import MachineType, Options


def chain(*states: tuple[str, dict[str, Any]], **top: Any) -> dict[str, Any]:
    """A definition whose states follow one another."""
    names = [name for name, _ in states]
    following = [*names[1:], None]
    bodies = {
        name: {**body, **({"Next": next} if next else {"End": True})}
        for (name, body), next in zip(states, following, strict=True)
    }
    return {"StartAt": names[0], "States": bodies, **top}


def task(name: str, **more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": f"arn:aws:lambda:{name}", **more}


CALLBACK = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
    "Parameters": {"FunctionName": "ask", "Payload": {"token.$": "$$.Task.Token"}},
}


async def echo(job: Job) -> Any:
    return job.dispatch.argument.value


async def test_three_tasks_run_in_order() -> None:
    async def add(job: Job) -> Any:
        return {"n": job.dispatch.argument.value["n"] + 1}

    async with rig({"add": add}) as it:
        end = await it.run(chain(*((f"s{i}", task("add")) for i in range(3))), {"n": 1})
        assert (end.status, end.output) == (Status.SUCCEEDED, Payload({"n": 4}))
        assert [job.state for job in it.tasks.calls] == ["s0", "s1", "s2"]
        types = [event.type for event in it.ledger.events(end.arn)]
        assert types[0] == "ExecutionStarted"
        assert types[-1] == "ExecutionSucceeded"
        assert it.engine.residents == 0


def test_a_wait_ends_when_it_is_due() -> None:
    async def story() -> None:
        async with rig() as it:
            hour = {"Type": "Wait", "Seconds": 3_600}
            started = asyncio.get_running_loop().time()
            execution = await it.start(await it.machine(chain(("w", hour))))
            await it.end(execution, seconds=4_000, pause=0.5)
            assert 3_600 <= asyncio.get_running_loop().time() - started < 3_602

    virtual_time.run(story())


async def test_a_task_fails_with_its_own_error_and_is_caught() -> None:
    async def broken(job: Job) -> Any:
        raise Fault("OutOfStock", "none left")

    caught = {"ErrorEquals": ["OutOfStock"], "Next": "after", "ResultPath": "$.error"}
    states = {
        "first": {**task("broken"), "Catch": [caught], "End": True},
        "after": {"Type": "Pass", "End": True},
    }
    async with rig({"broken": broken}) as it:
        end = await it.run({"StartAt": "first", "States": states})
        assert end.output is not None
        assert end.output.value["error"] == {"Error": "OutOfStock", "Cause": "none left"}


async def test_an_integration_that_raises_fails_its_task_only() -> None:
    async def defective(job: Job) -> Any:
        raise KeyError("gone")

    async with rig({"defective": defective, "echo": echo}) as it:
        end = await it.run(chain(("s", task("defective"))))
        assert (end.status, end.error) == (Status.FAILED, "States.Runtime")
        other = await it.run(chain(("s", task("echo"))), {"ok": True})
        assert other.status is Status.SUCCEEDED


async def test_a_loop_of_a_hundred_thousand_states_lets_others_go_on() -> None:
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "count",
        "States": {
            "count": {"Type": "Pass", "Output": {"n": "{% $states.input.n + 1 %}"}, "Next": "more"},
            "more": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $states.input.n < 50000 %}", "Next": "count"}],
                "Default": "done",
            },
            "done": {"Type": "Succeed"},
        },
    }
    async with rig({"echo": echo}) as it:
        long = await it.start(await it.machine(definition, "long"), {"n": 0})
        for number in range(5):
            short = await it.start(await it.machine(chain(("s", task("echo"))), "short"))
            assert (await it.end(short, seconds=10)).status is Status.SUCCEEDED, number
        assert (await it.ledger.execution(long.arn)).status is Status.RUNNING
        end = await it.end(long, seconds=100)
        assert end.output == Payload({"n": 50_000})


async def test_a_callback_resumes_and_comes_too_late_after_it() -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()

    async def ask(job: Job) -> Any:
        await asked.put(job.dispatch.argument.value["Payload"]["token"])
        return {}

    async with rig({"ask": ask}) as it:
        execution = await it.start(await it.machine(chain(("wait", CALLBACK))))
        token = await asyncio.wait_for(asked.get(), 5)
        await it.engine.succeed(token, Payload({"approved": True}))
        assert (await it.end(execution)).output == Payload({"approved": True})
        with pytest.raises(TaskGone):
            await it.engine.succeed(token, Payload({"approved": False}))
        with pytest.raises(TaskRefused):
            await it.engine.succeed(token[:-4] + "AAAA", Payload({}))


async def test_a_token_is_not_good_for_another_execution_that_got_the_name() -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()

    async def ask(job: Job) -> Any:
        await asked.put(job.dispatch.argument.value["Payload"]["token"])
        return {}

    async with rig({"ask": ask}) as it:
        machine = await it.machine(chain(("wait", CALLBACK)))
        first = await it.start(machine, name="same")
        old = await asyncio.wait_for(asked.get(), 5)
        await it.engine.succeed(old, Payload(1))
        await it.end(first)
        it.ledger.forget(first.arn)
        second = await it.start(machine, name="same")
        new = await asyncio.wait_for(asked.get(), 5)
        assert second.arn == first.arn
        for answer in (it.engine.succeed(old, Payload(2)), it.engine.heartbeat(old)):
            with pytest.raises(TaskGone):
                await answer
        await it.engine.succeed(new, Payload(3))
        assert (await it.end(second)).output == Payload(3)


async def test_a_missed_heartbeat_fails_the_task_and_a_sent_one_does_not() -> None:
    tokens: asyncio.Queue[str] = asyncio.Queue()

    async def ask(job: Job) -> Any:
        await tokens.put(job.token)
        return {}

    async with rig({"ask": ask}) as it:
        machine = await it.machine(chain(("wait", {**CALLBACK, "HeartbeatSeconds": 1})))
        silent = await it.start(machine)
        await asyncio.wait_for(tokens.get(), 5)
        alive = await it.start(machine)
        token = await asyncio.wait_for(tokens.get(), 5)
        for _ in range(6):
            await asyncio.sleep(0.3)
            await it.engine.heartbeat(token)
        assert (await it.end(silent)).error == "States.HeartbeatTimeout"
        await it.engine.succeed(token, Payload(1))
        assert (await it.end(alive)).status is Status.SUCCEEDED


async def test_stop_cancels_what_runs_and_redrive_runs_it_again() -> None:
    gate = asyncio.Event()

    async def slow(job: Job) -> Any:
        await gate.wait()
        return "done"

    begun = WORKFLOW_STARTED.labels("STANDARD")._value.get()
    async with rig({"slow": slow}) as it:
        execution = await it.start(await it.machine(chain(("s", task("slow")))))
        await it.until(lambda: it.tasks.running == 1)
        await it.engine.stop(execution.arn, "Enough", "of this")
        assert (await it.ledger.execution(execution.arn)).status is Status.ABORTED
        await it.until(lambda: it.tasks.running == 0)
        await it.engine.redrive(execution.arn)
        await it.until(lambda: it.tasks.running == 1)
        with pytest.raises(NotRedrivable):
            await it.engine.redrive(execution.arn)
        gate.set()
        end = await it.end(execution)
        assert (end.status, end.redrive_count) == (Status.SUCCEEDED, 1)
        assert WORKFLOW_STARTED.labels("STANDARD")._value.get() - begun == 2


async def test_an_activity_is_given_to_the_worker_that_polls() -> None:
    arn = "arn:aws:states:us-east-1:123456789012:activity:review"
    async with rig() as it:
        polling = asyncio.create_task(it.engine.poll_activity(arn, "bob", 5.0))
        await asyncio.sleep(0)
        machine = await it.machine(chain(("review", {"Type": "Task", "Resource": arn})))
        execution = await it.start(machine, {"page": 3})
        found = await polling
        assert found is not None
        token, input = found
        assert input == Payload({"page": 3})
        assert await it.engine.poll_activity(arn, "eve", 0.05) is None
        await it.engine.succeed(token, Payload("fine"))
        assert (await it.end(execution)).output == Payload("fine")
        types = [event.type for event in it.ledger.events(execution.arn)]
        assert "ActivityStarted" in types


async def test_express_runs_in_memory() -> None:
    async with rig({"echo": echo}) as it:
        machine = await it.machine(chain(("s", task("echo"))), kind=MachineType.EXPRESS)
        end = await it.engine.run_express(make_execution(machine, {"a": 1}, "x"), wait=True)
        assert (end.status, end.output) == (Status.SUCCEEDED, Payload({"a": 1}))
        assert it.ledger.commits == 0


async def test_the_ledger_away_pauses_and_loses_nothing() -> None:
    async with rig({"echo": echo}) as it:
        machine = await it.machine(chain(*((f"s{i}", task("echo")) for i in range(5))))
        executions = [await it.start(machine, {"n": n}) for n in range(20)]
        it.ledger.away = True
        await asyncio.sleep(1.0)
        it.ledger.away = False
        it.ledger.lost_answers = 7
        for n, execution in enumerate(executions):
            assert (await it.end(execution)).output == Payload({"n": n})


async def test_a_lost_shard_is_dropped_and_its_next_owner_goes_on() -> None:
    gate = asyncio.Event()

    async def slow(job: Job) -> Any:
        await gate.wait()
        return "done"

    ledger = MemoryLedger(shards=4)
    async with rig({"slow": slow}, ledger) as it:
        execution = await it.start(await it.machine(chain(("s", task("slow")))))
        await it.until(lambda: it.tasks.running == 1)
        ledger.steal(execution.shard)
        gate.set()
        end = await it.end(execution)
        assert end.status is Status.SUCCEEDED
        keys = {job.key for job in it.tasks.calls}
        assert len(keys) == 1, "the task keeps its key when it is dispatched again"


async def test_two_engines_share_and_one_takes_over() -> None:
    from tests.support.engine_rig import Rig, Tasks

    ledger, tasks = MemoryLedger(shards=8), Tasks({"echo": echo})
    first = make_engine(ledger, {"lambda": tasks}, "one", lease_seconds=0.5)
    second = make_engine(ledger, {"lambda": tasks}, "two", lease_seconds=0.5)
    wait = {"Type": "Wait", "Seconds": 2}
    async with running(second):
        async with running(first):
            it = Rig(ledger, first, tasks)
            await it.until(lambda: first.shards == second.shards == 4)
            machine = await it.machine(chain(("w", wait), ("s", task("echo"))))
            executions = [await it.start(machine, {"n": n}) for n in range(30)]
            await asyncio.sleep(0.5)
        await it.until(lambda: second.shards == 8)
        for n, execution in enumerate(executions):
            assert (await it.end(execution)).output == Payload({"n": n})


async def test_calls_for_another_engines_execution_go_through_the_ledger() -> None:
    tokens: asyncio.Queue[str] = asyncio.Queue()

    async def ask(job: Job) -> Any:
        await tokens.put(job.token)
        return {}

    async with rig({"ask": ask}) as it:
        idle = make_engine(it.ledger, {}, "idle")
        execution = await it.start(await it.machine(chain(("wait", CALLBACK))))
        token = await asyncio.wait_for(tokens.get(), 5)
        await it.until(lambda: "TaskSubmitted" in types_of(it.ledger, execution.arn))
        await idle.heartbeat(token)
        await idle.succeed(token, Payload("from afar"))
        assert (await it.end(execution)).output == Payload("from afar")
        other = await it.start(await it.machine(chain(("wait", CALLBACK))))
        await asyncio.wait_for(tokens.get(), 5)
        await idle.stop(other.arn, None, None)
        assert (await it.end(other)).status is Status.ABORTED


def types_of(ledger: MemoryLedger, arn: str) -> list[str]:
    return [event.type for event in ledger.events(arn)]


async def test_waiting_executions_leave_the_memory_and_come_back() -> None:
    tokens: asyncio.Queue[str] = asyncio.Queue()

    async def ask(job: Job) -> Any:
        await tokens.put(job.token)
        return {}

    async with rig({"ask": ask}, most_residents=0) as it:
        execution = await it.start(await it.machine(chain(("wait", CALLBACK))))
        token = await asyncio.wait_for(tokens.get(), 5)
        await it.until(lambda: it.engine.residents == 0)
        assert (await it.ledger.execution(execution.arn)).status is Status.RUNNING
        await it.engine.succeed(token, Payload("back"))
        assert (await it.end(execution)).output == Payload("back")


@pytest.mark.parametrize(
    "key", ["customer.id", "{% customer.id %}", "$states.input.customer.id", "$.customer.id"]
)
def test_a_concurrency_key_is_a_path_into_the_input(key: str) -> None:
    machine = make_machine({}, options=Options(concurrency_limit=1, concurrency_key=key))
    world = World("", WallClock(), Random(1), TaskTokens(KEY))
    lanes = [
        concurrency_lane(machine, Payload(input), world)
        for input in ({"customer": {"id": 1}}, {"customer": {"id": "x"}}, {"other": 1}, None)
    ]
    assert lanes == [f"{machine.arn}#1", f'{machine.arn}#"x"', machine.arn, machine.arn]


async def test_concurrency_limits_executions_by_key() -> None:
    async def slow(job: Job) -> Any:
        await asyncio.sleep(0.02)
        return 1

    options = Options(concurrency_limit=2, concurrency_key="customer")
    async with rig({"slow": slow}) as it:
        machine = await it.machine(chain(("s", task("slow"))), options=options)
        executions = [await it.start(machine, {"customer": "a"}) for _ in range(10)]
        for execution in executions:
            assert (await it.end(execution)).status is Status.SUCCEEDED
        assert it.tasks.most == 2


async def test_tasks_in_flight_are_capped_and_lanes_take_turns() -> None:
    done: list[str] = []

    async def note(job: Job) -> Any:
        await asyncio.sleep(0.01)
        done.append(job.machine.name)
        return 1

    async with rig({"note": note}, most_tasks=2) as it:
        many = await it.machine(
            {
                "StartAt": "all",
                "States": {
                    "all": {
                        "Type": "Map",
                        "ItemProcessor": chain(("s", task("note"))),
                        "End": True,
                    }
                },
            },
            "many",
        )
        one = await it.machine(chain(("s", task("note"))), "one")
        big = await it.start(many, list(range(60)))
        await it.until(lambda: len(done) > 4)
        small = await it.start(one)
        await it.end(small)
        assert it.tasks.most == 2
        assert done.index("one") < 30
        assert (await it.end(big)).status is Status.SUCCEEDED


async def test_a_definition_that_cannot_be_read_holds_up_nobody() -> None:
    async with rig({"echo": echo}) as it:
        broken = await it.machine({"StartAt": "nowhere"}, "broken")
        await it.start(broken)
        assert (await it.run(chain(("s", task("echo"))), 1)).status is Status.SUCCEEDED


async def test_a_shard_given_up_in_order_is_taken_at_once() -> None:
    ledger = MemoryLedger(shards=4)
    async with rig(ledger=ledger):
        pass
    async with rig({"echo": echo}, ledger) as it:
        assert it.engine.shards == 4


@pytest.mark.parametrize("late", [HeartbeatSeen(0, 1), Stop(None, None), Redrive()])
async def test_what_succeeded_stays_as_it_ended_whatever_comes_late(late: Input) -> None:
    async with rig({"echo": echo}) as it:
        execution = await it.start(await it.machine(chain(("s", task("echo")))), {"n": 1})
        end = await it.end(execution)
        await it.until(lambda: it.engine.residents == 0)
        await it.ledger.post(execution.arn, late)
        await it.until(lambda: it.ledger.waiting == 0)
        assert await it.ledger.execution(execution.arn) == end
        assert len(it.tasks.calls) == 1
        assert it.engine.residents == 0


async def test_a_stop_that_comes_with_the_last_commit_is_too_late() -> None:
    async with rig({"echo": echo}, MemoryLedger(commit_seconds=0.05)) as it:
        execution = await it.start(await it.machine(chain(("s", task("echo")))))
        await it.until(lambda: it.tasks.calls and not it.tasks.running)
        await it.engine.stop(execution.arn, None, "too late")
        await it.until(lambda: it.ledger.waiting == 0 and it.engine.residents == 0)
        end = await it.ledger.execution(execution.arn)
        assert (end.status, len(it.tasks.calls)) == (Status.SUCCEEDED, 1)


def test_a_posted_event_that_meets_the_last_commit_does_not_stay_in_the_inbox() -> None:
    async def story() -> None:
        async with rig({"echo": echo}, MemoryLedger(commit_seconds=0.5)) as it:
            execution = await it.start(await it.machine(chain(("s", task("echo")))))
            await it.until(lambda: it.tasks.calls and not it.tasks.running)
            await it.ledger.post(execution.arn, HeartbeatSeen(0, 1))
            assert (await it.end(execution)).status is Status.SUCCEEDED
            await it.until(lambda: it.ledger.waiting == 0)

    virtual_time.run(story())


async def test_the_lost_answer_of_the_last_commit_leaves_nothing_behind() -> None:
    async with rig({"echo": echo}, MemoryLedger(commit_seconds=0.05)) as it:
        execution = await it.start(await it.machine(chain(("s", task("echo")))), {"n": 1})
        await it.until(lambda: it.tasks.calls and not it.tasks.running)
        it.ledger.lost_answers = 1
        end = await it.end(execution)
        assert end.output == Payload({"n": 1})
        await it.until(lambda: it.engine.residents == 0)
        assert (await it.ledger.execution(execution.arn), len(it.tasks.calls)) == (end, 1)


LONG_WAIT = {"Type": "Wait", "Seconds": 30_000}


def test_a_take_over_keeps_no_more_in_memory_than_it_may() -> None:
    async def story() -> None:
        ledger = MemoryLedger()
        async with rig({}, ledger, most_residents=5) as it:
            machine = await it.machine(chain(("w", LONG_WAIT)))
            executions = [await it.start(machine) for _ in range(300)]
            await it.until(lambda: len(it.engine._timers) == 300 and it.engine.residents == 5)
        async with rig({}, ledger, most_residents=5) as it:
            await it.until(lambda: len(it.engine._timers) == 300)
            assert it.engine.residents == 5
            for execution in executions:
                end = await it.end(execution, seconds=40_000, pause=1.0)
                assert end.status is Status.SUCCEEDED

    virtual_time.run(story())


async def test_a_lost_shard_takes_the_timers_of_its_evicted_executions_along() -> None:
    ledger = MemoryLedger()
    async with rig({}, ledger, most_residents=0) as it:
        machine = await it.machine(chain(("w", LONG_WAIT)))
        await it.start(machine)
        await it.start(machine)
        await it.until(lambda: len(it.engine._timers) == 2 and it.engine.residents == 0)
        until = asyncio.get_running_loop().time() + 100
        for shard in range(ledger.shards):
            ledger.steal(shard)
            ledger._leases[shard] = ("other", until)
        await it.until(lambda: it.engine.shards == 0)
        assert len(it.engine._timers) == 0
