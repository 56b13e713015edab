"""`torpor workflow`, the whole command, against the execution API over an engine in memory."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from tests.support.stepfunctions_rig import ROLE, Rig, serving
from tests.unit.cli.conftest import Done, exit_status
from tests.unit.cli.fake_cluster import FakeCluster, refusal
from torpor.cli.workflow.run import EXPRESS_SECONDS
from torpor.cli.workflow.tokens import waiting
from torpor.workflows.engine.tokens import TaskRef, TaskTokens

LAMBDA = "arn:aws:states:::lambda:invoke"
SAGA: dict[str, Any] = {
    "Comment": "a trip",
    "StartAt": "Book",
    "States": {
        "Book": {
            "Type": "Task",
            "Resource": "arn:aws:lambda:us-east-1:000000000000:function:book",
            "Catch": [{"ErrorEquals": ["Full"], "Next": "Sorry"}],
            "Next": "Done",
        },
        "Sorry": {"Type": "Fail", "Error": "NoTrip", "Cause": "all full"},
        "Done": {"Type": "Succeed"},
    },
}
WAITS = {"StartAt": "Rest", "States": {"Rest": {"Type": "Wait", "Seconds": 900, "End": True}}}


@dataclass(frozen=True, slots=True)
class Shell:
    """The command beside an API; its streams are the test's."""

    rig: Rig
    monkeypatch: pytest.MonkeyPatch

    async def __call__(self, *words: str, stdin: str = "", out: io.BytesIO | None = None) -> Done:
        out, err = out or io.BytesIO(), io.BytesIO()
        patch = self.monkeypatch
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        patch.setattr(sys, "stdout", io.TextIOWrapper(out, write_through=True))
        patch.setattr(sys, "stderr", io.TextIOWrapper(err, write_through=True))
        async with asyncio.timeout(30):
            code = await asyncio.to_thread(exit_status, ["workflow", *words])
        return Done(code, out.getvalue().decode(), err.getvalue().decode())

    async def create(self, name: str, definition: Any, **more: Any) -> str:
        text = json.dumps(definition)
        answer = await self.rig(
            "create_state_machine", name=name, definition=text, roleArn=ROLE, **more
        )
        return str(answer["stateMachineArn"])


def book(value: Any) -> Any:
    if value.get("full"):
        raise Full("no room")
    return {"booked": value}


class Terminal(io.BytesIO):
    """What is written goes to a person."""

    def isatty(self) -> bool:
        return True


class Full(ValueError):
    """The error that the definition catches."""


@pytest.fixture
async def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    async with serving(functions={"book": book}) as rig:
        monkeypatch.setenv("TORPOR_WORKFLOWS", f"http://127.0.0.1:{rig.port}")
        yield Shell(rig, monkeypatch)


async def test_list_shows_a_namespace_and_what_has_none(shell: Shell) -> None:
    for name in ("default.saga", "shop.saga", "loose"):
        await shell.create(name, WAITS)
    rows = [line.split() for line in (await shell("list")).out.splitlines()]
    assert rows[0] == ["NAMESPACE", "NAME", "TYPE", "AGE"]
    assert [row[:3] for row in rows[1:]] == [
        ["default", "saga", "Standard"],
        ["-", "loose", "Standard"],
    ]
    everywhere = json.loads((await shell("list", "-A", "-o", "json")).out)
    names = [item["name"] for item in everywhere["stateMachines"]]
    assert names == ["default.saga", "loose", "shop.saga"]
    assert everywhere["stateMachines"][0]["creationDate"].endswith("Z")


async def test_names_and_arns_for_programs(shell: Shell) -> None:
    await shell.create("default.saga", WAITS)
    assert (await shell("list", "-o", "name")).out == "workflow.torpor.dev/saga\n"
    assert (await shell("show", "saga", "-o", "name")).out == "workflow.torpor.dev/saga\n"
    wide = (await shell("list", "-o", "wide")).out.splitlines()
    assert wide[0].endswith("ARN")
    assert wide[1].endswith(":stateMachine:default.saga")
    started = (await shell("run", "saga", "--name", "one")).out.strip()
    assert (await shell("list", "saga", "-o", "name")).out.strip() == started


async def test_nothing_there_is_said(shell: Shell) -> None:
    done = await shell("list")
    assert (done.code, done.out) == (0, "")
    assert done.err == "torpor workflow: no workflows; -A looks everywhere\n"
    done = await shell("run", "gone")
    assert done.code == 1
    assert "there is no workflow default/gone" in done.err


async def test_run_starts_and_returns_at_once(shell: Shell) -> None:
    await shell.create("default.rest", WAITS)
    done = await shell("run", "rest", "--name", "one", "-d", '{"a": 1}')
    assert done.code == 0
    assert done.out.strip().endswith(":execution:default.rest:one")
    again = await shell("run", "rest", "--name", "one", "-d", '{"a": 2}')
    assert again.code == 1
    assert "ExecutionAlreadyExists" in again.err
    rows = [line.split()[:2] for line in (await shell("list", "rest")).out.splitlines()]
    assert rows[1:] == [["one", "RUNNING"]]


@pytest.mark.parametrize("way", ["--wait", "--watch"])
async def test_run_prints_the_output_or_why_it_failed(shell: Shell, way: str) -> None:
    await shell.create("default.saga", SAGA)
    done = await shell("run", "saga", way, "-d", "@-", stdin='{"trip": "R1"}')
    assert (done.code, json.loads(done.out)) == (0, {"booked": {"trip": "R1"}})
    assert ("▶ Book (Task)" in done.err) == (way == "--watch")


async def test_data_that_is_not_json_is_refused_before_anything_is_sent(
    shell: Shell, tmp_path: Path
) -> None:
    for data, told in ((" {", "not JSON"), (f"@{tmp_path}/gone", "No such file")):
        done = await shell("run", "saga", "-d", data)
        assert done.code == 1
        assert told in done.err


async def test_show_tells_of_the_workflow_and_of_an_execution(shell: Shell) -> None:
    await shell.create("default.saga", SAGA)
    await shell("run", "saga", "--name", "one", "--wait")
    about = (await shell("show", "saga")).out
    assert "default/saga" in about
    assert "a trip" in about
    assert "Book, Sorry, Done" in about
    assert "one" in about
    done = (await shell("show", "saga", "one")).out
    assert "SUCCEEDED" in done
    rows = [line.split() for line in done.splitlines() if line.startswith(("Book", "Done"))]
    assert [row[:4] for row in rows] == [
        ["Book", "Task", "done", "1"],
        ["Done", "Succeed", "done", "1"],
    ]
    arn = yaml.safe_load((await shell("show", "saga", "one", "-o", "yaml")).out)["executionArn"]
    assert (await shell("show", arn)).out == (await shell("show", "saga", "one")).out


async def test_history_has_every_event(shell: Shell) -> None:
    await shell.create("default.saga", SAGA)
    await shell("run", "saga", "--wait")
    lines = (await shell("history", "saga")).out.splitlines()
    kinds = [line.split()[4] for line in lines[1:]]
    assert kinds[0] == "ExecutionStarted"
    assert kinds[-1] == "ExecutionSucceeded"
    events = json.loads((await shell("history", "saga", "-o", "json")).out)["events"]
    assert [event["type"] for event in events] == kinds
    followed = (await shell("history", "saga", "-f")).out.splitlines()
    assert [line.split()[2] for line in followed] == kinds


async def test_stop_ends_an_execution(shell: Shell) -> None:
    await shell.create("default.rest", WAITS)
    await shell("run", "rest", "--name", "one")
    assert (await shell("stop", "rest")).code == 1
    done = await shell("stop", "rest", "one", "--error", "Late", "--cause", "too late")
    assert (done.code, done.out[:8]) == (0, "stopped ")
    assert "ABORTED, Late: too late" in (await shell("show", "rest", "one")).out
    again = await shell("stop", "rest", "one")
    assert (again.code, again.out) == (1, "")
    assert again.err.endswith("execution:default.rest:one has ended already: ABORTED\n")


MAP = {
    "StartAt": "All",
    "States": {
        "All": {
            "Type": "Map",
            "ItemProcessor": {
                "StartAt": "Inner",
                "States": {
                    "Inner": {
                        "Type": "Map",
                        "ItemProcessor": {
                            "StartAt": "Work",
                            "States": {"Work": {"Type": "Pass", "End": True}},
                        },
                        "End": True,
                    }
                },
            },
            "Next": "After",
        },
        "After": {"Type": "Pass", "End": True},
    },
}


async def test_watching_a_map_tells_which_iteration_a_state_is_in(shell: Shell) -> None:
    await shell.create("default.map", MAP)
    done = await shell("run", "map", "--watch", "-d", "[[1, 2], [3]]")
    assert done.code == 0, done.err
    told = [line.partition(" s  ")[2] for line in done.err.splitlines() if line.startswith("+")]
    assert sorted(line.partition(" after ")[0] for line in told) == sorted(
        [
            "▶ All (Map)",
            "▶ Inner [0] (Map)",
            "▶ Inner [1] (Map)",
            "▶ Work [0] [0] (Pass)",
            "▶ Work [0] [1] (Pass)",
            "▶ Work [1] [0] (Pass)",
            "✔ Work [0] [0]",
            "✔ Work [0] [1]",
            "✔ Work [1] [0]",
            "✔ Inner [0]",
            "✔ Inner [1]",
            "✔ All",
            "▶ After (Pass)",
            "✔ After",
        ]
    )


async def test_lines_fit_the_terminal(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    await shell.create("default.saga", SAGA)
    data = json.dumps({"trip": "R" * 500})
    await shell("run", "saga", "--name", "one", "--wait", "-d", data)
    monkeypatch.setenv("COLUMNS", "70")
    for words in (("history", "saga", "one"), ("history", "saga", "one", "-f")):
        lines = (await shell(*words, out=Terminal())).out.splitlines()
        assert max(map(len, lines)) == 70
        assert "…" in "".join(lines)
    shown = (await shell("show", "saga", "one", out=Terminal())).out.splitlines()
    assert [len(line) for line in shown if line.startswith(("input", "output"))] == [70, 70]
    assert "R" * 500 in (await shell("show", "saga", "one")).out


async def test_watching_goes_on_when_the_engine_was_away(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = await shell.create("default.rest", WAITS)
    api = f"http://127.0.0.1:{shell.rig.port}/"
    away, refused = asyncio.Event(), asyncio.Semaphore(0)

    async def proxy(request: web.Request) -> web.Response:
        if away.is_set():
            refused.release()
            assert request.transport
            request.transport.abort()
            return web.Response()
        headers = {name: request.headers[name] for name in ("Content-Type", "X-Amz-Target")}
        async with (
            ClientSession() as client,
            client.post(api, data=await request.read(), headers=headers) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read())

    app = web.Application()
    app.router.add_post("/", proxy)
    async with TestServer(app) as server, asyncio.timeout(30), asyncio.TaskGroup() as group:
        words = ("run", "rest", "--name", "one", "--watch", "--endpoint", str(server.make_url("")))
        watch = group.create_task(shell(*words), name="watch")
        while not (await shell.rig("list_executions", stateMachineArn=machine))["executions"]:
            continue
        away.set()
        for _ in range(3):
            await refused.acquire()
        away.clear()
        arn = machine.replace(":stateMachine:", ":execution:") + ":one"
        await shell.rig("stop_execution", executionArn=arn)
    done = watch.result()
    assert (done.code, "▶ Rest (Wait)" in done.err) == (1, True), done.err
    assert done.err.count("goes on, asking again for 60 s") == 1
    assert done.err.endswith("torpor workflow: ABORTED\n")


async def test_an_express_execution_is_waited_for_as_long_as_is_asked(shell: Shell) -> None:
    answered = asyncio.Event()

    async def express(request: web.Request) -> web.Response:
        if request.headers["X-Amz-Target"].endswith("DescribeStateMachine"):
            return web.json_response({"type": "EXPRESS"})
        await answered.wait()
        return web.json_response({"status": "SUCCEEDED", "output": "1"})

    app = web.Application()
    app.router.add_post("/", express)
    machine = "arn:aws:states:us-east-1:1:stateMachine:default.quick"
    async with TestServer(app) as server:
        where = ("--endpoint", str(server.make_url("")))
        done = await shell("run", machine, "--wait", "--timeout", "0.3", *where)
        assert done.code == 1
        assert "default.quick is still running after 0.3 s; it goes on" in done.err
        answered.set()
        assert (await shell("run", machine, "--wait", *where)).out == "1\n"
    assert EXPRESS_SECONDS > 300


async def test_a_drawing_of_an_execution_is_coloured(shell: Shell) -> None:
    await shell.create("default.saga", SAGA)
    await shell("run", "saga", "--name", "one", "--wait")
    assert "classDef" not in (await shell("graph", "saga")).out
    drawn = (await shell("graph", "saga", "one")).out
    assert "class s0,s2 succeeded" in drawn
    assert "data-state" in (await shell("graph", "saga", "one", "--format", "svg")).out


async def test_no_api_and_something_else_are_said(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = await shell("list", "--endpoint", "127.0.0.1:1")
    assert done.code == 1
    assert "no answer from the execution API at http://127.0.0.1:1" in done.err

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_route("*", "/", hello)
    async with TestServer(app) as server:
        done = await shell("list", "--endpoint", str(server.make_url("/")))
    assert done.code == 1
    assert "is not the execution API: 200 hello" in done.err


ARN = "arn:aws:states:us-east-1:1:execution:default.ask:one"


def scheduled(number: int, before: int, token: str) -> dict[str, Any]:
    details = {
        "resourceType": "lambda",
        "resource": "invoke.waitForTaskToken",
        "parameters": json.dumps({"FunctionName": "ask", "Payload": {"answer_with": token}}),
    }
    return {
        "id": number,
        "previousEventId": before,
        "type": "TaskScheduled",
        "timestamp": 1.0,
        "taskScheduledEventDetails": details,
    }


def test_the_token_of_a_waiting_task_is_found_in_the_history() -> None:
    tokens = TaskTokens(b"k" * 32)
    first, second = (tokens.issue(TaskRef(ARN, 0, n), 1.5) for n in (1, 2))
    entered = {
        "id": 1,
        "previousEventId": 0,
        "type": "TaskStateEntered",
        "timestamp": 1.0,
        "stateEnteredEventDetails": {"name": "Ask"},
    }
    failed = {"id": 3, "previousEventId": 2, "type": "TaskFailed", "timestamp": 1.0}
    history = [entered, scheduled(2, 1, first)]
    assert [(task.state, task.token) for task in waiting(history, ARN)] == [("Ask", first)]
    history.append(failed)
    assert waiting(history, ARN) == []
    history.append(scheduled(4, 3, second))
    assert [task.token for task in waiting(history, ARN)] == [second]
    assert waiting(history, ARN + "x") == []


@pytest.mark.parametrize("end", ["Aborted", "TimedOut", "Failed", "Succeeded"])
def test_nothing_waits_any_more_in_an_execution_that_ended(end: str) -> None:
    tokens = TaskTokens(b"k" * 32)
    first, second = (tokens.issue(TaskRef(ARN, 0, n), 1.5) for n in (1, 2))
    ended = {"id": 3, "previousEventId": 2, "type": f"Execution{end}", "timestamp": 1.0}
    redriven = {"id": 4, "previousEventId": 3, "type": "ExecutionRedriven", "timestamp": 1.0}
    history = [scheduled(2, 0, first), ended]
    assert waiting(history, ARN) == []
    history += [redriven, scheduled(5, 4, second)]
    assert [task.token for task in waiting(history, ARN)] == [second]


async def test_watching_tells_of_the_error_and_of_what_caught_it(shell: Shell) -> None:
    await shell.create("default.saga", SAGA)
    done = await shell("run", "saga", "--watch", "-d", '{"full": true}')
    assert done.code == 1
    told = [line.partition(" s  ")[2] for line in done.err.splitlines() if line.startswith("+")]
    assert told[0] == "▶ Book (Task)"
    assert told[1].startswith("✘ Book: Full: ")
    assert told[2].startswith("✔ Book after ")
    assert told[3] == "▶ Sorry (Fail)"
    assert done.err.splitlines()[-1] == "torpor workflow: FAILED: NoTrip: all full"


async def test_without_an_endpoint_the_way_is_through_the_api_server(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await shell.create("shop.saga", SAGA)
    api = f"http://127.0.0.1:{shell.rig.port}/"
    path = "/api/v1/namespaces/torpor-system/services/torpor-engine:api/proxy/"

    async def proxy(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer secret"
        if request.path != path:
            return refusal(503, "no endpoints available")
        names = ("Content-Type", "X-Amz-Target")
        headers = {name: request.headers[name] for name in names}
        async with (
            ClientSession() as client,
            client.post(api, data=await request.read(), headers=headers) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read())

    monkeypatch.delenv("TORPOR_WORKFLOWS")
    app = web.Application()
    app.router.add_post("/{any:.*}", proxy)
    async with TestServer(app) as server:
        config = FakeCluster(url=str(server.make_url("")).rstrip("/")).kubeconfig(tmp_path)
        where = ("--kubeconfig", str(config))
        done = await shell("run", "saga", *where, "--wait", "-d", '{"full": true}')
        assert done.code == 1
        assert "FAILED: NoTrip: all full" in done.err
        done = await shell("list", *where, "--torpor-namespace", "elsewhere")
    assert done.code == 1
    assert "the engine in elsewhere (--torpor-namespace) cannot be reached" in done.err
    assert "no endpoints available" in done.err


async def test_redrive_runs_the_failed_state_again(shell: Shell) -> None:
    await shell.create("default.saga", SAGA)
    await shell("run", "saga", "--name", "one", "--wait", "-d", '{"full": true}')
    done = await shell("redrive", "saga", "one")
    assert (done.code, done.out[:9]) == (0, "redriven "), done.err
    assert "1 time\n" in (await shell("show", "saga", "one")).out
    kinds = (await shell("history", "saga", "one")).out
    assert kinds.count("ExecutionRedriven") == 1
    await shell("run", "saga", "--name", "fine", "--wait")
    done = await shell("redrive", "saga", "fine")
    assert done.code == 1
    assert "ExecutionNotRedrivable" in done.err
