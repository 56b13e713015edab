"""Tasks that are runs of Job Functions, at a gateway that keeps its runs in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web

from tests.support.engine_rig import Rig, Tasks, make_engine, make_execution, make_machine, running
from tests.support.memory_ledger import MemoryLedger
from torpor.invoke import Invoker, Retry
from torpor.resources.names import FunctionKey
from torpor.resources.run import Indexes, Run, RunState, run_id, run_location
from torpor.workflows.asl.events import Dispatch, TaskFailed, TaskSubmitted, TaskSucceeded
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.resource import parse_resource
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.integrations.jobs import Jobs
from torpor.workflows.records import Options

STARTED, FINISHED = "2027-01-31T09:00:01Z", "2027-01-31T09:00:04.5Z"
BATCH: dict[str, Any] = {
    "JobName": "nightly",
    "JobDefinition": "arn:aws:batch:eu-west-1:123456789012:job-definition/encodeFilm:7",
    "JobQueue": "spot",
    "Parameters": {"film": "a.mp4"},
    "ContainerOverrides": {"Environment": [{"Name": "A", "Value": "1"}]},
}
ECS = {"Cluster": "c", "TaskDefinition": "encode_film:3", "Overrides": {"Cpu": "256"}}
EKS = {"Job": {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "encode-film"}}}


@dataclass
class Gateway:
    """Runs that stay as they are put; `refusals` are answered first."""

    runs: dict[str, Run] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    """Path, key and input of every invocation."""
    cancelled: list[str] = field(default_factory=list)
    refusals: list[web.Response] = field(default_factory=list)
    forgetful: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def invoke(self, request: web.Request) -> web.Response:
        key = request.headers["Idempotency-Key"]
        self.asked.append((request.path, key, await request.json()))
        if self.refusals:
            return self.refusals.pop(0)
        function = FunctionKey(request.match_info["namespace"], request.match_info["name"])
        name = run_id(function, "uid", key)
        self.runs.setdefault(name, Run(name, function))
        location = run_location(function.namespace, name)
        return web.json_response({"id": name, "location": location}, status=202)

    async def of_key(self, request: web.Request) -> web.Response:
        """The run that there is under a key; none is made."""
        self.asked.append((request.method, request.headers["Idempotency-Key"], None))
        if self.refusals:
            return self.refusals.pop(0)
        function = FunctionKey(request.match_info["namespace"], request.match_info["name"])
        run = self.runs.get(run_id(function, "uid", request.headers["Idempotency-Key"]))
        if run is None or self.forgetful:
            return problem(404, "unknown-run", "there is no such run")
        if request.method == "DELETE":
            self.cancelled.append(run.id)
            return web.json_response({}, status=202)
        return web.json_response(run.to_json())

    async def look(self, request: web.Request) -> web.Response:
        run = self.runs.get(request.match_info["name"])
        if run is None or self.forgetful:
            return problem(404, "unknown-run", "there is no such run")
        if not run.state.is_final and "wait" in request.query:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 20)
        return web.json_response(self.runs[run.id].to_json())

    async def cancel(self, request: web.Request) -> web.Response:
        self.cancelled.append(request.match_info["name"])
        return web.json_response({}, status=202)

    def end(self, state: RunState, **more: Any) -> None:
        for name, run in self.runs.items():
            done = replace(run, state=state, created=STARTED, started=STARTED, finished=FINISHED)
            self.runs[name] = replace(done, **more)
        self.changed.set()


def problem(status: int, code: str, detail: str, **headers: str) -> web.Response:
    return web.json_response({"code": code, "detail": detail}, status=status, headers=headers)


@asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[Jobs]:
    app = web.Application()
    app.router.add_get("/function/@runs/{namespace}/{name}", gateway.look)
    app.router.add_delete("/function/@runs/{namespace}/{name}", gateway.cancel)
    app.router.add_post("/function/{namespace}/{name}/", gateway.invoke)
    app.router.add_get("/function/{namespace}/{name}/", gateway.of_key)
    app.router.add_delete("/function/{namespace}/{name}/", gateway.of_key)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with Invoker(url, retry=Retry(attempts=1)) as invoker:
            yield Jobs(invoker)
    finally:
        await runner.cleanup()


def job(resource: str, argument: Any, options: Options | None = None, name: str = "e") -> Job:
    parsed = parse_resource(resource)
    assert parsed is not None
    machine = make_machine({}, options=options or Options())
    execution = make_execution(machine, {}, name, 0.0)
    dispatch = Dispatch(1, 2, parsed, Payload(argument), None, None)
    return Job(execution, machine, "s", dispatch, f"{execution.arn}/1/2", "token")


def task(resource: str, **more: Any) -> dict[str, Any]:
    state = {"Type": "Task", "Resource": resource, "End": True, **more}
    return {"StartAt": "A", "States": {"A": state}}


async def ended(gateway: Gateway, resource: str, given: Any, state: RunState, **more: Any) -> Any:
    """What following a task's run gives that ends so."""
    async with serving(gateway) as jobs:
        submitted = await jobs.run(job(resource, given))
        assert isinstance(submitted, TaskSubmitted)
        gateway.end(state, **more)
        return await jobs.follow(job(resource, given))


async def test_a_job_by_name_gets_the_tasks_input_and_its_key() -> None:
    gateway, given = Gateway(), job("torpor:job:encodeFilm", {"film": "a.mp4"})
    async with serving(gateway) as jobs:
        outcome = await jobs.run(given)
    assert isinstance(outcome, TaskSucceeded)
    assert outcome.output.value["location"].startswith("/function/@runs/default/encode-film-")
    assert gateway.asked == [("/function/default/encode-film/", given.key, {"film": "a.mp4"})]


async def test_asking_again_is_the_same_run() -> None:
    gateway, given = Gateway(), job("torpor:job:encode", {})
    async with serving(gateway) as jobs:
        first, second = await jobs.run(given), await jobs.run(given)
    assert first == second
    assert len(gateway.runs) == 1


async def test_a_key_that_is_too_long_is_shortened() -> None:
    gateway = Gateway()
    async with serving(gateway) as jobs:
        await jobs.run(job("torpor:job:encode", {}, name="e" * 300))
        await jobs.run(job("torpor:job:encode", {}, name="e" * 301))
    lengths = [len(key) for _, key, _ in gateway.asked]
    assert lengths == [64, 64]
    assert len(gateway.runs) == 2


async def test_sync_gives_the_run() -> None:
    outcome = await ended(
        Gateway(), "torpor:job:encode.sync", {}, RunState.SUCCEEDED, result={"frames": 7}
    )
    assert isinstance(outcome, TaskSucceeded)
    assert outcome.output.value["state"] == "Succeeded"
    assert outcome.output.value["result"] == {"frames": 7}


@pytest.mark.parametrize(
    ("resource", "given", "reason", "error"),
    [
        ("torpor:job:encode.sync", {}, "Failed", "States.TaskFailed"),
        ("torpor:job:encode.sync", {}, "BadInput", "Job.BadInput"),
        ("arn:aws:states:::ecs:runTask.sync", ECS, "BadInput", "States.TaskFailed"),
    ],
)
async def test_a_run_that_failed_fails_its_task_with_the_reason(
    resource: str, given: Any, reason: str, error: str
) -> None:
    outcome = await ended(
        Gateway(), resource, given, RunState.FAILED, reason=reason, message="not a film"
    )
    assert isinstance(outcome, TaskFailed)
    assert outcome.error == error
    told = json.loads(outcome.cause or "")
    assert told.get("Run", told)["message"] == "not a film"


async def test_batch() -> None:
    gateway, resource = Gateway(), "arn:aws:states:::batch:submitJob"
    async with serving(gateway) as jobs:
        taken = await jobs.run(job(resource, BATCH))
    assert isinstance(taken, TaskSucceeded)
    told = taken.output.value
    assert told["JobName"] == "nightly"
    assert told["JobId"] == told["Run"]["id"]
    assert gateway.asked[0][0] == "/function/default/encode-film/"
    assert gateway.asked[0][2] == BATCH
    outcome = await ended(Gateway(), f"{resource}.sync", BATCH, RunState.SUCCEEDED)
    assert isinstance(outcome, TaskSucceeded)
    done = outcome.output.value
    assert (done["Status"], done["Container"]["ExitCode"]) == ("SUCCEEDED", 0)
    assert done["StoppedAt"] - done["StartedAt"] == 3_500
    assert done["Parameters"] == {"film": "a.mp4"}


async def test_a_failed_batch_job_is_told_as_batch_tells_it() -> None:
    outcome = await ended(
        Gateway(), "arn:aws:states:::batch:submitJob.sync", BATCH, RunState.FAILED, message="no"
    )
    assert isinstance(outcome, TaskFailed)
    cause = json.loads(outcome.cause or "")
    assert (cause["Status"], cause["StatusReason"]) == ("FAILED", "no")
    assert cause["Run"]["state"] == "Failed"


async def test_ecs() -> None:
    gateway, resource = Gateway(), "arn:aws:states:::ecs:runTask"
    async with serving(gateway) as jobs:
        taken = await jobs.run(job(resource, ECS))
    assert isinstance(taken, TaskSucceeded)
    assert taken.output.value["Failures"] == []
    assert taken.output.value["Tasks"][0]["TaskDefinitionArn"] == "encode_film:3"
    outcome = await ended(Gateway(), f"{resource}.sync", ECS, RunState.SUCCEEDED)
    assert isinstance(outcome, TaskSucceeded)
    assert outcome.output.value["LastStatus"] == "STOPPED"
    assert outcome.output.value["Containers"][0]["ExitCode"] == 0


async def test_eks() -> None:
    outcome = await ended(
        Gateway(),
        "arn:aws:states:::eks:runJob.sync",
        EKS,
        RunState.SUCCEEDED,
        indexes=Indexes(succeeded=3, total=3),
    )
    assert isinstance(outcome, TaskSucceeded)
    status = outcome.output.value["ResponseBody"]["status"]
    assert status["succeeded"] == 3
    assert status["conditions"][0]["type"] == "Complete"


@pytest.mark.parametrize(
    ("resource", "given", "error"),
    [
        ("arn:aws:states:::batch:submitJob", {}, "Batch.ClientException"),
        ("arn:aws:states:::ecs:runTask", {"TaskDefinition": 7}, "ECS.ClientException"),
        ("arn:aws:states:::eks:runJob", {"Job": {}}, "EKS.400"),
        ("arn:aws:states:::eks:call", {}, "States.TaskFailed"),
        ("torpor:job:ütf", {}, "Job.ClientException"),
    ],
)
async def test_what_names_no_job_is_an_error(resource: str, given: Any, error: str) -> None:
    gateway = Gateway()
    async with serving(gateway) as jobs:
        outcome = await jobs.run(job(resource, given))
    assert isinstance(outcome, TaskFailed)
    assert outcome.error == error
    assert not gateway.asked


@pytest.mark.parametrize(
    ("options", "path"),
    [
        (Options(namespace="shop"), "/function/shop/encode-film/"),
        (Options(resources={"encodeFilm": "films"}), "/function/default/films/"),
        (Options(resources={BATCH["JobDefinition"]: "v2"}), "/function/default/v2/"),
    ],
)
async def test_names_map_to_functions(options: Options, path: str) -> None:
    gateway = Gateway()
    async with serving(gateway) as jobs:
        await jobs.run(job("arn:aws:states:::batch:submitJob", BATCH, options))
    assert gateway.asked[0][0] == path


async def test_a_function_that_there_is_not_is_an_error() -> None:
    gateway = Gateway(refusals=[problem(404, "unknown-function", "there is no function")])
    async with serving(gateway) as jobs:
        outcome = await jobs.run(job("torpor:job:encode", {}))
    assert isinstance(outcome, TaskFailed)
    assert (outcome.error, outcome.cause) == ("Job.ClientException", "there is no function")


async def test_a_function_that_is_no_job_is_an_error() -> None:
    gateway = Gateway(refusals=[web.json_response({"hello": "you"})])
    async with serving(gateway) as jobs:
        outcome = await jobs.run(job("torpor:job:encode", {}))
    assert isinstance(outcome, TaskFailed)
    assert "default/encode is no Job Function" in (outcome.cause or "")


async def test_too_many_runs_and_a_gateway_that_is_away_are_waited_for() -> None:
    busy = problem(429, "reserved-concurrency", "too many runs", **{"Retry-After": "0"})
    away = problem(503, "runs-unavailable", "try again")
    gateway = Gateway(refusals=[busy, away])
    async with serving(gateway) as jobs:
        outcome = await jobs.run(job("torpor:job:encode", {}))
    assert isinstance(outcome, TaskSucceeded)
    assert len({key for _, key, _ in gateway.asked}) == 1
    assert len(gateway.asked) == 3


async def test_a_run_that_vanished_fails_its_task() -> None:
    gateway, given = Gateway(), job("torpor:job:encode.sync", {})
    async with serving(gateway) as jobs:
        await jobs.run(given)
        gateway.runs.clear()
        outcome = await jobs.follow(given)
    assert isinstance(outcome, TaskFailed)
    assert "there is no such run" in (outcome.cause or "")
    assert not gateway.runs, "it may have done its work, so it is not started again"


async def test_giving_a_run_up_starts_none_and_is_tried_until_it_is_taken() -> None:
    gateway, given = Gateway(), job("torpor:job:encode.sync", {})
    async with serving(gateway) as jobs:
        await jobs.abandon(given)
        assert not gateway.runs
        await jobs.run(given)
        gateway.refusals = [problem(503, "runs-unavailable", "try again"), problem(429, "busy", "")]
        await jobs.abandon(given)
    assert gateway.cancelled == list(gateway.runs)


@asynccontextmanager
async def at_work(gateway: Gateway, ledger: MemoryLedger | None = None) -> AsyncIterator[Rig]:
    ledger = ledger or MemoryLedger()
    async with serving(gateway) as jobs:
        engine = make_engine(ledger, {"job": jobs})
        async with running(engine):
            yield Rig(ledger, engine, Tasks())


async def test_an_execution_waits_for_its_run() -> None:
    gateway = Gateway()
    async with at_work(gateway) as it:
        execution = await it.start(await it.machine(task("torpor:job:encode.sync")), {"n": 1})
        await it.until(lambda: gateway.runs)
        gateway.end(RunState.SUCCEEDED, result=3)
        done = await it.end(execution)
    assert done.status is Status.SUCCEEDED
    assert done.output is not None
    assert done.output.value["result"] == 3


async def test_a_rule_can_except_bad_input_from_what_is_tried_again() -> None:
    gateway = Gateway()
    rules = [
        {"ErrorEquals": ["Job.BadInput"], "MaxAttempts": 0},
        {"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 60},
    ]
    async with at_work(gateway) as it:
        machine = await it.machine(task("torpor:job:encode.sync", Retry=rules))
        execution = await it.start(machine, {})
        await it.until(lambda: gateway.runs)
        gateway.end(RunState.FAILED, reason="BadInput", message="not a film")
        done = await it.end(execution)
    assert (done.status, done.error) == (Status.FAILED, "Job.BadInput")


async def test_another_engine_follows_the_same_run() -> None:
    gateway, ledger = Gateway(), MemoryLedger()
    async with at_work(gateway, ledger) as it:
        execution = await it.start(await it.machine(task("torpor:job:encode.sync")))
        await it.until(lambda: gateway.runs)
    async with at_work(gateway, ledger) as it:
        await it.until(lambda: len(gateway.asked) > 1)
        gateway.end(RunState.SUCCEEDED)
        done = await it.end(execution)
    assert done.status is Status.SUCCEEDED
    assert len(gateway.runs) == 1
    assert not gateway.cancelled


async def test_stopping_an_execution_cancels_its_run() -> None:
    gateway = Gateway()
    async with at_work(gateway) as it:
        execution = await it.start(await it.machine(task("torpor:job:encode.sync")))
        await it.until(lambda: len(gateway.asked) > 1)
        await it.engine.stop(execution.arn, None, None)
        await it.until(lambda: gateway.cancelled)
    assert set(gateway.cancelled) == set(gateway.runs)


async def test_a_task_that_times_out_cancels_its_run() -> None:
    gateway = Gateway()
    async with at_work(gateway) as it:
        done = await it.run(task("torpor:job:encode.sync", TimeoutSeconds=1))
        await it.until(lambda: gateway.cancelled)
    assert done.error == "States.Timeout"
    assert set(gateway.cancelled) == set(gateway.runs)
