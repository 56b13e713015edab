"""Events start executions over the engine's API, each once."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.integration.delivery_rig import QUICK, Outside, dead, definition, delivering, put
from tests.integration.trigger_rig import event
from tests.support.servers.function import functions
from tests.support.servers.nats import broker, lag, needs_nats, until
from tests.support.stepfunctions_rig import ROLE, Rig, serving
from torpor.resources.names import FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.delivery.workflow_target import EngineClient
from torpor.workflows.stepfunctions.service import Settings

pytestmark = needs_nats
PASS = {"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}}
WAITS = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": True}}}


async def make(api: Rig, machine: dict[str, Any] = PASS) -> str:
    made = await api(
        "create_state_machine", name="shop.fulfil", definition=json.dumps(machine), roleArn=ROLE
    )
    return str(made["stateMachineArn"])


async def executions(api: Rig, arn: str) -> list[dict[str, Any]]:
    found = await api("list_executions", stateMachineArn=arn)
    return [
        await api("describe_execution", executionArn=each["executionArn"])
        for each in found["executions"]
    ]


async def test_an_event_starts_an_execution_with_its_trace() -> None:
    one = definition(target={"workflow": {"name": "fulfil"}})
    async with (
        serving(Settings(token="let me in", credentials=(("key", "secret"),))) as api,
        EngineClient(f"http://127.0.0.1:{api.port}", "let me in") as engine,
        broker() as at,
        functions() as to,
    ):
        arn = await make(api)
        await put(at, one, [event(1, {"total": 3})])
        async with delivering(at, to, one, outside=Outside(engine=engine)):
            await lag(at, {})
        (only,) = api.records.execution_rows.values()
        assert only.machine_arn == arn
        content = json.loads(only.input.text)
        assert (content["id"], content["data"]) == ("1", {"total": 3})
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", only.trace_header or "")


async def test_an_execution_of_the_events_name_is_as_good_as_started() -> None:
    workflow = FunctionKey("shop", "fulfil")
    async with (
        serving() as api,
        EngineClient(f"http://127.0.0.1:{api.port}") as engine,
    ):
        arn = await make(api)
        answers = [
            await engine.start(workflow, "name", content, "00-trace", 5)
            for content in (b'{"n": 1}', b'{"n": 1}', b'{"n": 2}')
        ]
        assert [answer.ok for answer in answers] == [True, True, True]
        (only,) = await executions(api, arn)
        assert (only["name"], only["input"]) == ("name", '{"n": 1}')


async def test_events_wait_for_a_workflow_that_does_not_exist() -> None:
    one = definition(target={"workflow": {"name": "fulfil"}}, delivery={"maxAttempts": 1})
    async with (
        serving() as api,
        EngineClient(f"http://127.0.0.1:{api.port}") as engine,
        broker() as at,
        functions() as to,
        delivering(at, to, one, outside=Outside(engine=engine)),
    ):
        await put(at, one, [event(1)])

        async def looked() -> bool:
            return bool(await at.streams.held(f"KV_{names.BUCKET_ATTEMPTS}"))

        await until(looked)
        arn = await make(api)
        await lag(at, {("shop", "orders"): 1})

        async def started() -> bool:
            return len(await executions(api, arn)) == 1

        await until(started)
        await lag(at, {})


async def test_an_engine_that_is_away_is_tried_again_then_given_up() -> None:
    one = definition(target={"workflow": {"name": "fulfil"}}, delivery={"maxAttempts": 3, **QUICK})
    async with (
        EngineClient("http://127.0.0.1:9") as engine,
        broker() as at,
        functions() as to,
        delivering(at, to, one, outside=Outside(engine=engine)),
    ):
        await put(at, one, [event(1)])
        (letter,) = await dead(at, 1)
        assert (letter["attempts"], letter["status"]) == (3, None)
        assert letter["error"].startswith("the engine is away")


async def test_a_batch_starts_one_execution_with_an_array() -> None:
    one = definition(
        target={"workflow": {"name": "fulfil"}},
        batch={"size": 3, "windowSeconds": 5},
        transform={"jsonata": "data.n"},
    )
    async with (
        serving() as api,
        EngineClient(f"http://127.0.0.1:{api.port}") as engine,
        broker() as at,
        functions() as to,
    ):
        arn = await make(api)
        await put(at, one, [event(n) for n in range(3)])
        async with delivering(at, to, one, outside=Outside(engine=engine)):
            await lag(at, {})
        (only,) = await executions(api, arn)
        assert json.loads(only["input"]) == [0, 1, 2]
