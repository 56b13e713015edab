"""Workflows in `torpor dev` as their user runs them: the command, boto3, and kill -9 in between."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml
from aiohttp import ClientSession, web

from tests.integration.test_dev_session import ended, outcome, start, write
from tests.support.collector import collector
from tests.support.postgres import needs_postgres
from tests.support.stepfunctions_rig import make_client
from torpor.dev.postgres import _data_folder

pytestmark = needs_postgres
Process = asyncio.subprocess.Process

CODE = """
import pathlib
import time

class HotelFull(Exception):
    pass

def flight(event, context):
    asked = event.json()
    return {"trip": asked["trip"], "flight": asked.get("undo", "booked")}

def hotel(event, context):
    asked = event.json()
    if asked["trip"] == "full":
        raise HotelFull("no room")
    return {**asked, "hotel": "booked"}

def slow(event, context):
    asked = event.json()
    with pathlib.Path(asked["file"]).open("a") as out:
        out.write("called\\n")
    time.sleep(asked["seconds"])
    return "slept"
"""
SAGA: Mapping[str, Any] = {
    "StartAt": "BookFlight",
    "States": {
        "BookFlight": {"Type": "Task", "Resource": "arn:aws:lambda:flight", "Next": "BookHotel"},
        "BookHotel": {
            "Type": "Task",
            "Resource": "arn:aws:lambda:hotel",
            "Catch": [{"ErrorEquals": ["HotelFull"], "ResultPath": "$.e", "Next": "CancelFlight"}],
            "End": True,
        },
        "CancelFlight": {
            "Type": "Task",
            "Resource": "arn:aws:lambda:flight",
            "Parameters": {"trip.$": "$.trip", "undo": "cancelled"},
            "ResultPath": "$.cancelled",
            "Next": "NoTrip",
        },
        "NoTrip": {"Type": "Fail", "Error": "NoTrip", "CausePath": "$.e.Cause"},
    },
}
SLOW: Mapping[str, Any] = {
    "StartAt": "Rest",
    "States": {
        "Rest": {"Type": "Wait", "SecondsPath": "$.rest", "Next": "Work"},
        "Work": {"Type": "Task", "Resource": "arn:aws:lambda:slow", "End": True},
    },
}
ASK: Mapping[str, Any] = {
    "StartAt": "Ask",
    "States": {
        "Ask": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Parameters": {
                "FunctionName": "flight",
                "Payload": {"trip": "x", "token.$": "$$.Task.Token"},
            },
            "End": True,
        }
    },
}


def function(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": name},
        "spec": {
            "runtime": "python3",
            "handler": f"main.{name}",
            "code": {"inline": CODE},
            "scaling": {"maxReplicas": 1},
        },
    }


def workflow(name: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {"definition": definition},
    }


def save(folder: Path, **workflows: Mapping[str, Any]) -> Path:
    """Write a folder with the functions and these Workflows."""
    for name in ("flight", "hotel", "slow"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(function(name)))
    for name, definition in workflows.items():
        (folder / f"{name}-workflow.yaml").write_text(yaml.safe_dump(workflow(name, definition)))
    return folder


@pytest.fixture(autouse=True)
def _state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="torpor-test-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
        monkeypatch.setenv("XDG_STATE_HOME", folder)
        monkeypatch.setenv("KUBECONFIG", "/nonexistent")
        yield


@dataclass(frozen=True, slots=True)
class Serving:
    """A run of `torpor dev`, and the addresses of its execution API and of its gateway."""

    process: Process
    url: str
    gateway: str = ""

    @property
    def client(self) -> Any:
        return make_client(int(self.url.rpartition(":")[2]))

    async def called(self, function: str, body: Any) -> str:
        """Call a Function through the gateway as anyone may; the answer's body."""
        url = f"{self.gateway}/function/default/{function}/"
        async with ClientSession() as client, client.post(url, json=body) as answer:
            return await answer.text()

    async def torpor(self, *words: str) -> tuple[int, str, str]:
        """Run `torpor workflow` against it; exit status, stdout, stderr."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "torpor.cli.main", "workflow", *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "TORPOR_WORKFLOWS": self.url},
        )
        async with ended(process), asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def shown(self, text: str) -> str:
        """Wait for a line of its output that has the text."""
        assert self.process.stdout
        async with asyncio.timeout(40):
            while True:
                line = (await self.process.stdout.readline()).decode()
                print(line, end="")
                assert line, f"torpor dev ended before it said {text}"
                if text in line:
                    return line

    async def end(self) -> None:
        assert self.process.stdout
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            output = await self.process.stdout.read()
            await self.process.wait()
        assert self.process.returncode == 0, output.decode()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Serving]:
    process = await start(folder)
    async with ended(process):
        address = r"http://127\.0\.0\.1:\d+"
        [gateway] = re.findall(address, await Serving(process, "").shown("/function/default/"))
        [url] = re.findall(address, await Serving(process, "").shown("TORPOR_WORKFLOWS="))
        yield Serving(process, url, gateway)


async def test_a_saga_runs_by_command_and_by_boto3(tmp_path: Path) -> None:
    async with serving(save(tmp_path, trip=SAGA)) as dev:
        status, out, err = await dev.torpor("run", "trip", "--watch", "-d", '{"trip": "Lisbon"}')
        assert (status, json.loads(out)) == (
            0,
            {"trip": "Lisbon", "flight": "booked", "hotel": "booked"},
        )
        assert "✔ BookHotel" in err
        ended_as = await asyncio.to_thread(_run_by_boto3, dev.client)
        assert (ended_as["status"], ended_as["error"]) == ("FAILED", "NoTrip")
        cause = json.loads(ended_as["cause"])
        assert list(cause) == ["errorMessage", "errorType", "requestId", "stackTrace"]
        assert (cause["errorMessage"], cause["errorType"]) == ("no room", "HotelFull")
        assert cause["requestId"]
        assert cause["stackTrace"][-1].endswith('in hotel\n    raise HotelFull("no room")\n')
        seen_by_anyone = await dev.called("hotel", {"trip": "full"})
        assert '"errorType":"HotelFull"' in seen_by_anyone
        assert "no room" not in seen_by_anyone
        _, drawn, _ = await dev.torpor("graph", "trip", "by-boto3")
        assert "class s1 caught" in drawn
        await dev.shown("default/trip execution by-boto3 FAILED")
        await dev.end()


async def test_a_collector_that_the_environment_names_gets_the_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with collector() as to:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", to.url)
        async with serving(save(tmp_path, trip=SAGA)) as dev:
            status, _, _ = await dev.torpor("run", "trip", "--wait", "-d", '{"trip": "Lisbon"}')
            assert status == 0
            await dev.end()
        of_engine = sorted(span.name for span in to.spans if span.service == "torpor-engine")
        assert of_engine == ["BookFlight", "BookHotel", "default.trip"]
        of_gateway = sorted(span.name for span in to.spans if span.service == "torpor-gateway")
        assert of_gateway == ["hold default/flight", "hold default/hotel"]


PRICED = """
import json

class NoCart(Exception):
    pass

def handler(event, context):
    asked = json.loads(event["body"]) if "requestContext" in event else event
    if not asked["cart"]:
        raise NoCart("nothing in it")
    return {"total": sum(asked["cart"]), "by": context.function_name}
"""
PRICE: Mapping[str, Any] = {
    "StartAt": "Price",
    "States": {
        "Price": {
            "Type": "Task",
            "Resource": "arn:aws:lambda:us-east-1:123456789012:function:priced",
            "Catch": [{"ErrorEquals": ["NoCart"], "ResultPath": "$.e", "Next": "Empty"}],
            "End": True,
        },
        "Empty": {"Type": "Pass", "End": True},
    },
}


async def test_a_handler_for_lambda_serves_workflows_and_requests(tmp_path: Path) -> None:
    priced = function("priced")
    priced["spec"] |= {
        "payload": "lambda",
        "handler": "main.handler",
        "code": {"inline": PRICED},
    }
    folder = save(tmp_path, price=PRICE)
    (folder / "priced.yaml").write_text(yaml.safe_dump(priced))
    async with serving(folder) as dev:
        status, out, err = await dev.torpor("run", "price", "--wait", "-d", '{"cart": [1, 2]}')
        assert (status, json.loads(out)) == (0, {"total": 3, "by": "priced"}), err
        status, out, err = await dev.torpor("run", "price", "--wait", "-d", '{"cart": []}')
        assert status == 0, err
        cause = json.loads(json.loads(out)["e"]["Cause"])
        assert (cause["errorType"], cause["errorMessage"]) == ("NoCart", "nothing in it")
        asked = await dev.called("priced", {"cart": [4]})
        assert json.loads(asked) == {"total": 4, "by": "priced"}
        await dev.end()


CALL: Mapping[str, Any] = {
    "StartAt": "Call",
    "States": {
        "Call": {
            "Type": "Task",
            "Resource": "arn:aws:states:::http:invoke",
            "Parameters": {
                "ApiEndpoint.$": "$.url",
                "Method": "GET",
                "Authentication": {
                    "ConnectionArn": "arn:aws:events:us-east-1:123456789012:connection/shop/1"
                },
            },
            "End": True,
        }
    },
}


async def test_a_connection_beside_the_manifests_is_used_and_is_nowhere_to_be_read(
    tmp_path: Path,
) -> None:
    async def admit(request: web.Request) -> web.Response:
        known = request.headers["X-Key"] == "s3cr3t-value"
        return web.Response(status=200 if known else 401)

    folder = save(tmp_path, call=CALL)
    async with listening(admit) as url, serving(folder) as dev:
        data = json.dumps({"url": url})
        status, _, err = await dev.torpor("run", "call", "--name", "none", "--wait", "-d", data)
        assert (status, "Events.ConnectionResource.ResourceNotFound" in err) == (1, True), err
        (folder / "connections" / "default").mkdir(parents=True)
        key = {"ApiKeyName": "X-Key", "ApiKeyValue": "s3cr3t-value"}
        connection = {
            "AuthorizationType": "API_KEY",
            "AuthParameters": {"ApiKeyAuthParameters": key},
        }
        (folder / "connections" / "default" / "shop.json").write_text(json.dumps(connection))
        status, out, _ = await dev.torpor("run", "call", "--name", "one", "--wait", "-d", data)
        assert (status, json.loads(out)["StatusCode"]) == (0, 200)
        state = json.dumps(CALL["States"]["Call"])
        tested = await asyncio.to_thread(
            dev.client.test_state,
            **{"definition": state, "roleArn": "arn:aws:iam::1:role/x", "input": data},
            inspectionLevel="TRACE",
            revealSecrets=True,
        )
        assert tested["status"] == "SUCCEEDED"
        sent, got = (tested["inspectionData"][name] for name in ("request", "response"))
        assert (sent["protocol"], sent["method"], sent["url"]) == ("http", "GET", url)
        assert (got["statusCode"], got["statusMessage"], got["body"]) == ("200", "OK", "")
        _, history, _ = await dev.torpor("history", "call", "one", "-o", "json")
        assert "TaskSucceeded" in history
        for text in (history, str(tested)):
            assert "s3cr3t-value" not in text
        await dev.end()


@asynccontextmanager
async def listening(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def _run_by_boto3(client: Any) -> Any:
    [machine] = client.list_state_machines()["stateMachines"]
    started = client.start_execution(
        stateMachineArn=machine["stateMachineArn"], name="by-boto3", input='{"trip": "full"}'
    )
    for _ in range(200):
        found = client.describe_execution(executionArn=started["executionArn"])
        if found["status"] != "RUNNING":
            client.close()
            return found
    raise AssertionError("it did not end")


@pytest.mark.parametrize(
    ("rest", "seconds", "at"), [(2, 0, "RUNNING  Rest"), (0, 4, "RUNNING  Work")]
)
async def test_after_kill_9_the_execution_goes_on(
    tmp_path: Path, rest: int, seconds: int, at: str
) -> None:
    folder, calls = save(tmp_path, slow=SLOW), tmp_path / "calls"
    data = json.dumps({"rest": rest, "file": str(calls), "seconds": seconds})
    async with serving(folder) as dev:
        assert (await dev.torpor("run", "slow", "--name", "one", "-d", data))[0] == 0
        await dev.shown(at)
        if not rest:
            async with asyncio.timeout(20):
                while not calls.exists():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        dev.process.kill()
        await dev.process.wait()
    async with serving(folder) as dev:
        await dev.shown("execution one SUCCEEDED")
        _, out, _ = await dev.torpor("show", "slow", "one", "-o", "json")
        assert json.loads(json.loads(out)["output"]) == "slept"
        _, out, _ = await dev.torpor("history", "slow", "one", "-o", "json")
        kinds = [event["type"] for event in json.loads(out)["events"]]
        assert kinds.count("WaitStateExited") == kinds.count("TaskStateExited") == 1
        assert len(calls.read_text().splitlines()) == (1 if rest else 2)
        await dev.end()


async def test_a_waiting_task_is_signalled_by_its_execution_and_state(tmp_path: Path) -> None:
    async with serving(save(tmp_path, ask=ASK)) as dev:
        await dev.torpor("run", "ask", "--name", "one")
        async with asyncio.timeout(20):
            while "TaskSubmitted" not in (await dev.torpor("history", "ask", "one"))[1]:
                continue
        status, out, err = await dev.torpor("signal", "heartbeat", "ask", "one")
        assert (status, out) == (0, "heartbeat sent\n"), err
        status, _, err = await dev.torpor("signal", "success", "ask", "one", "--state", "Other")
        assert status == 1
        assert "waits for its token in Other" in err
        status, out, err = await dev.torpor(
            "signal", "success", "ask", "one", "--state", "Ask", "-d", '{"yes": true}'
        )
        assert (status, out) == (0, "success sent\n"), err
        await dev.shown("execution one SUCCEEDED")
        await dev.end()


async def test_a_changed_definition_is_for_new_executions(tmp_path: Path) -> None:
    folder = save(tmp_path, slow={**SLOW, "Comment": "first"})
    async with serving(folder) as dev:
        data = json.dumps({"rest": 900})
        await dev.torpor("run", "slow", "--name", "old", "-d", data)
        save(tmp_path, slow={"StartAt": "New", "States": {"New": {"Type": "Pass", "End": True}}})
        async with asyncio.timeout(20):
            while "New" not in (await dev.torpor("show", "slow"))[1]:
                continue
        status, out, _ = await dev.torpor("run", "slow", "--wait", "-d", '{"a": 1}')
        assert (status, json.loads(out)) == (0, {"a": 1})
        assert "Rest" in (await dev.torpor("graph", "slow", "old"))[1]
        save(tmp_path, slow={"StartAt": "Gone", "States": {"New": {"Type": "Pass", "End": True}}})
        await dev.shown("/StartAt: ")
        assert (await dev.torpor("run", "slow", "--wait"))[0] == 0
        await dev.end()


async def test_a_workflow_that_is_put_back_while_it_drains_comes_back(tmp_path: Path) -> None:
    folder = save(tmp_path, slow=SLOW)
    async with serving(folder) as dev:
        await dev.torpor("run", "slow", "--name", "old", "-d", '{"rest": 900}')
        file = folder / "slow-workflow.yaml"
        text = file.read_text()
        file.unlink()
        await dev.shown("default/slow is gone")
        file.write_text(text)
        await dev.shown("it is tried again until it can be done")
        assert (await dev.torpor("stop", "slow", "old"))[0] == 0
        await dev.shown("default/slow: the engine has it now")
        data = json.dumps({"rest": 0, "file": str(tmp_path / "calls"), "seconds": 0})
        assert (await dev.torpor("run", "slow", "--wait", "-d", data))[0] == 0
        await dev.end()


async def test_a_workflow_keeps_its_type(tmp_path: Path) -> None:
    folder = save(tmp_path, trip=SAGA)
    async with serving(folder) as dev:
        changed = workflow("trip", SAGA)
        changed["spec"]["type"] = "Express"
        (folder / "trip-workflow.yaml").write_text(yaml.safe_dump(changed))
        await dev.shown("the type of default.trip is STANDARD and cannot change")
        assert "Standard" in (await dev.torpor("list"))[1]
        await dev.end()


async def test_a_folder_that_is_emptied_has_nothing_any_more(tmp_path: Path) -> None:
    folder = save(tmp_path, trip=SAGA)
    async with serving(folder) as dev:
        for file in folder.glob("*.yaml"):
            file.unlink()
        await dev.shown("default/trip is gone")
        _, out, err = await dev.torpor("list", "-A")
        assert (out, "no workflows" in err) == ("", True)
        await dev.end()


async def test_every_problem_of_a_definition_is_said_before_anything_starts(
    tmp_path: Path,
) -> None:
    wrong = {
        "StartAt": "A",
        "States": {
            "A": {"Type": "Wait", "Seconds": -1, "Next": "Gone"},
            "B": {"Type": "Task", "Resource": "arn:aws:lambda:flight", "End": True, "Next": "A"},
        },
    }
    status, output = await outcome(save(tmp_path, bad=wrong))
    assert status == 2
    lines = output.splitlines()
    assert all("bad-workflow.yaml: Workflow bad: /States/" in line for line in lines)
    assert {re.findall(r"/States/\w+(?:/\w+)?", line)[0] for line in lines} >= {
        "/States/A/Seconds",
        "/States/A/Next",
    }


async def test_a_folder_without_workflows_needs_no_database(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules.update(asyncpg=None, jsonata=None, obstore=None); "
        "from torpor.cli.main import main; sys.exit(main(['dev', sys.argv[1]]))"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(write(tmp_path))),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    async with ended(process):
        dev = Serving(process, "")
        await dev.shown("logs in")
        await dev.end()


async def test_a_second_interrupt_leaves_the_task_to_the_next_run(tmp_path: Path) -> None:
    folder, calls = save(tmp_path, slow=SLOW), tmp_path / "calls"
    data = json.dumps({"rest": 0, "file": str(calls), "seconds": 4})
    async with serving(folder) as dev:
        await dev.torpor("run", "slow", "--name", "one", "-d", data)
        await dev.shown("in-flight=1")
        dev.process.send_signal(signal.SIGINT)
        await dev.shown("waiting for 1 request")
        dev.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            await dev.process.wait()
        assert dev.process.returncode == 130
    async with serving(folder) as dev:
        await dev.shown("execution one SUCCEEDED")
        assert len(calls.read_text().splitlines()) == 2
        await dev.end()


async def test_without_postgresql_it_is_said_in_one_line(tmp_path: Path) -> None:
    program = (
        "import sys; from torpor.workflows.ledger import postgres_programs; "
        "postgres_programs._candidates = lambda: iter(()); "
        "from torpor.cli.main import main; sys.exit(main(['dev', sys.argv[1]]))"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(save(tmp_path, trip=SAGA))),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with ended(process), asyncio.timeout(30):
        _, err = await process.communicate()
    assert process.returncode == 1
    assert err.decode().startswith("torpor dev: this folder needs PostgreSQL: no PostgreSQL found")
    assert len(err.splitlines()) == 1


def _state_folder() -> Path:
    [place] = (Path(os.environ["XDG_STATE_HOME"]) / "torpor" / "dev").iterdir()
    return _data_folder(place / "workflows") / "data"


def _postmaster() -> int:
    return int((_state_folder() / "postmaster.pid").read_text().split("\n", 1)[0])


async def test_executions_go_on_after_their_database_was_killed(tmp_path: Path) -> None:
    async with serving(save(tmp_path, slow=SLOW)) as dev:
        data = json.dumps({"rest": 3, "file": str(tmp_path / "calls"), "seconds": 0})
        await dev.torpor("run", "slow", "--name", "before", "-d", data)
        await dev.shown("RUNNING  Rest")
        os.kill(_postmaster(), signal.SIGKILL)
        await dev.shown("PostgreSQL ended: it is started again")
        await dev.shown("execution before SUCCEEDED")
        status, _, err = await dev.torpor("run", "slow", "--name", "after", "--wait", "-d", data)
        assert status == 0, err
        await dev.end()


async def test_a_database_that_cannot_be_started_again_ends_the_run_in_one_line(
    tmp_path: Path,
) -> None:
    async with serving(save(tmp_path, slow=SLOW)) as dev:
        (_state_folder() / "PG_VERSION").write_text("9\n")
        os.kill(_postmaster(), signal.SIGKILL)
        line = await dev.shown("torpor dev: PostgreSQL ended and could not be started again")
        assert "in 3 tries" in line
        async with asyncio.timeout(30):
            assert await dev.process.wait() == 1


async def test_a_database_of_another_build_is_told_in_one_line(tmp_path: Path) -> None:
    folder = save(tmp_path, slow=SLOW)
    async with serving(folder) as dev:
        sockets = (_state_folder() / "postmaster.pid").read_text().splitlines()[4]
        connection = await asyncpg.connect(user="torpor", database="postgres", host=sockets)
        await connection.execute("UPDATE schema_version SET digest = 'another' WHERE number = 1")
        await connection.close()
        await dev.end()
    status, output = await outcome(folder)
    assert status == 1
    [line] = [line for line in output.splitlines() if "torpor dev:" in line]
    assert "made by another build of Torpor (script 0001 differs)" in line
    assert f"they are in {_state_folder().parent}: move it away" in line
    assert "Traceback" not in output
