"""Tasks as AWS's service integrations do them: shapes of results, errors and causes."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.engine_rig import make_execution, make_machine, rig
from torpor.invoke import Invoker, Retry
from torpor.workflows.asl.events import (
    Dispatch,
    Input,
    ReadItems,
    TaskFailed,
    TaskSubmitted,
    TaskSucceeded,
    WriteResults,
)
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.resource import parse_resource
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.integrations.executions import Executions
from torpor.workflows.engine.integrations.functions import Functions
from torpor.workflows.engine.integrations.http import Http
from torpor.workflows.engine.integrations.objects import StoreFailed, open_divided_store, open_store
from torpor.workflows.engine.integrations.reach import EVERYWHERE, BadReach, Reach, Refused
from torpor.workflows.engine.integrations.store import S3, StoredItems
from torpor.workflows.engine.integrations.unavailable import BUS, TOPICS
from torpor.workflows.engine.world import WallClock
from torpor.workflows.records import MachineType, Options

Answer = Callable[[web.Request], Awaitable[web.Response]]
ARN = "arn:aws:lambda:us-east-1:123456789012:function:validateOrder"
INVOKE = "arn:aws:states:::lambda:invoke"


def job(resource: str, argument: Any, options: Options | None = None) -> Job:
    parsed = parse_resource(resource)
    assert parsed is not None
    machine = make_machine({}, options=options or Options())
    execution = make_execution(machine, {}, "e", 0.0)
    dispatch = Dispatch(1, 2, parsed, Payload(argument), None, None)
    return Job(execution, machine, "s", dispatch, f"{execution.arn}/1/2", "token")


@asynccontextmanager
async def served(answer: Answer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def invoked(answer: Answer, given: Job) -> Input | None:
    async with served(answer) as url, Invoker(url) as invoker:
        return await Functions(invoker).run(given)


def of(outcome: Input | None) -> Any:
    assert isinstance(outcome, TaskSucceeded), outcome
    return outcome.output.value


async def reflect(request: web.Request) -> web.Response:
    return web.json_response(
        {
            "path": request.path,
            "key": request.headers["Idempotency-Key"],
            "body": await request.json(),
        }
    )


async def test_a_function_gets_its_payload_and_the_key_of_its_task() -> None:
    given = job(ARN, {"n": 1})
    found = of(await invoked(reflect, given))
    assert found == {
        "path": "/function/default/validate-order/",
        "key": given.key,
        "body": {"n": 1},
    }


@pytest.mark.parametrize(
    ("options", "path"),
    [
        (Options(namespace="shop"), "/function/shop/validate-order/"),
        (Options(resources={ARN: "checks"}), "/function/default/checks/"),
        (Options(resources={"validateOrder": "v2"}), "/function/default/v2/"),
    ],
)
async def test_names_map_to_functions(options: Options, path: str) -> None:
    assert of(await invoked(reflect, job(ARN, {}, options)))["path"] == path


async def test_no_name_reaches_a_function_of_another_namespace() -> None:
    end = await invoked(reflect, job(ARN, {}, Options(resources={ARN: "other/checks"})))
    assert isinstance(end, TaskFailed)
    assert end.error == "Lambda.ResourceNotFoundException"


async def test_lambda_invoke_wraps_the_payload() -> None:
    found = of(await invoked(reflect, job(INVOKE, {"FunctionName": "f", "Payload": [1]})))
    assert found["Payload"]["body"] == [1]
    assert (found["StatusCode"], found["ExecutedVersion"]) == (200, "$LATEST")
    assert found["SdkHttpMetadata"]["HttpStatusCode"] == 200
    nothing = of(await invoked(reflect, job(INVOKE, {"FunctionName": "f"})))
    assert nothing["Payload"]["body"] == {}


async def test_a_callback_task_is_only_submitted_by_its_answer() -> None:
    given = job(f"{INVOKE}.waitForTaskToken", {"FunctionName": "f"})
    assert isinstance(await invoked(reflect, given), TaskSubmitted)


async def test_no_function_name() -> None:
    outcome = await invoked(reflect, job(INVOKE, {}))
    assert isinstance(outcome, TaskFailed)
    assert outcome.error == "Lambda.InvalidParameterValueException"


def says(body: str | bytes, kind: str | None, status: int = 200) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        raw = body.encode() if isinstance(body, str) else body
        return web.Response(body=raw, status=status, headers={"Content-Type": kind} if kind else {})

    return answer


@pytest.mark.parametrize(
    ("body", "kind", "result"),
    [
        ('{"a":[1,null]}', "application/json", {"a": [1, None]}),
        ("", "application/json", None),
        ("plain", "text/plain; charset=utf-8", "plain"),
        ("12", "text/plain", "12"),
    ],
)
async def test_results(body: str, kind: str, result: Any) -> None:
    assert of(await invoked(says(body, kind), job(ARN, {}))) == result


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (says("{not json", "application/json"), "Lambda.Unknown", "not JSON"),
        (says("[" * 100_000, "application/json"), "Lambda.Unknown", "not JSON"),
        (says("NaN", "application/json"), "Lambda.Unknown", "not JSON"),
        (says(b"\xff\xfe", "application/octet-stream"), "Lambda.Unknown", "neither"),
        (says("busy", "text/plain", 429), "Lambda.TooManyRequestsException", "busy"),
        (says('{"detail":"later"}', "a/b+json", 503), "Lambda.ServiceException", "later"),
        (
            says('{"code":"unknown-function","detail":"none"}', "a/b+json", 404),
            "Lambda.ResourceNotFoundException",
            "none",
        ),
        (says("oops", "text/plain", 500), "Lambda.Unknown", "status 500: oops"),
    ],
)
async def test_garbage_and_refusals_fail_the_task(answer: Answer, error: str, message: str) -> None:
    outcome = await invoked(answer, job(ARN, {}))
    assert isinstance(outcome, TaskFailed)
    assert outcome.error == error
    assert outcome.cause is not None
    assert message in json.loads(outcome.cause)["errorMessage"]


async def test_a_functions_own_error_is_passed_on_as_lambda_tells_it() -> None:
    body = '{"errorMessage":"none left","errorType":"OutOfStock","stackTrace":[]}'
    outcome = await invoked(says(body, "application/json", 500), job(ARN, {}))
    assert isinstance(outcome, TaskFailed)
    assert (outcome.error, outcome.cause) == ("OutOfStock", body)


PROBLEM = {"code": "function-failed", "detail": "it failed", "requestId": "r", "errorType": "E"}


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        ({}, '{"errorMessage":"it failed","errorType":"E","requestId":"r"}'),
        (
            {"errorMessage": "", "stackTrace": ["  File \n"]},
            '{"errorMessage":"","errorType":"E","requestId":"r","stackTrace":["  File \\n"]}',
        ),
    ],
)
async def test_an_exception_is_told_in_the_fields_and_the_order_of_lambda(
    told: Mapping[str, Any], cause: str
) -> None:
    body = json.dumps({**PROBLEM, **told})
    outcome = await invoked(says(body, "application/problem+json", 500), job(ARN, {}))
    assert isinstance(outcome, TaskFailed)
    assert (outcome.error, outcome.cause) == ("E", cause)


async def test_no_gateway() -> None:
    async with Invoker("http://127.0.0.1:9", retry=Retry(1)) as invoker:
        outcome = await Functions(invoker).run(job(ARN, {}))
    assert isinstance(outcome, TaskFailed)
    assert outcome.error == "Lambda.SdkClientException"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://127.1/",
        "http://①②⑦.⓪.⓪.①/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0/",
        "http://10.96.0.1/",
        "http://172.20.0.1/",
        "http://192.168.1.1/",
        "http://100.100.100.200/latest/meta-data",
        "http://224.0.0.1/",
        "http://240.0.0.1/",
        "http://[fd00:ec2::254]/",
        "http://[fc00::1]/",
        "http://[fec0::1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[64:ff9b:1::a9fe:a9fe]/",
        "http://[2002:a9fe:a9fe::]/",
        "http://[::ffff:10.0.0.1]/",
        "http://localhost:1/",
        "file:///etc/passwd",
        "gopher://example.org/",
    ],
)
async def test_http_tasks_reach_no_metadata_and_nothing_local(url: str) -> None:
    given = job("arn:aws:states:::http:invoke", {"ApiEndpoint": url, "Method": "GET"})
    outcome = await Http().run(given)
    assert isinstance(outcome, TaskFailed)
    assert outcome.error in ("States.Http.Socket", "States.Runtime")
    assert outcome.cause is not None
    assert any(word in outcome.cause for word in ("must not call", "usual form", "http or https"))


def may_call(reach: Reach, host: str, address: str) -> bool:
    try:
        reach.check(host, ipaddress.ip_address(address))
    except Refused:
        return False
    return True


def test_what_http_tasks_may_call_is_the_installations_to_say() -> None:
    reach = Reach.parse("Hooks.corp.example, 10.1.0.0/16,fd00:1::/32", "9.9.9.0/24")
    assert may_call(reach, "hooks.corp.example.", "192.168.7.7")
    assert may_call(reach, "any", "10.1.2.3")
    assert may_call(reach, "any", "::ffff:10.1.2.3")
    assert may_call(reach, "any", "fd00:1::5")
    assert may_call(reach, "any", "8.8.8.8")
    assert may_call(reach, "any", "64:ff9b::808:808")
    assert not may_call(reach, "any", "10.2.0.1")
    assert not may_call(reach, "x.hooks.corp.example", "192.168.7.7")
    assert not may_call(reach, "any", "9.9.9.9")
    assert may_call(EVERYWHERE, "localhost", "127.0.0.1")


@pytest.mark.parametrize(
    ("allow", "refuse"), [("10.1.0.0/8", ""), ("10.0.0.1.2", ""), ("a b", ""), ("", "host")]
)
def test_a_list_that_cannot_be_understood_is_refused(allow: str, refuse: str) -> None:
    with pytest.raises(BadReach):
        Reach.parse(allow, refuse)


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.path == "/x", "followed"
        return web.Response(status=302, headers={"Location": "/metadata"})

    async with served(answer) as url:
        given = {"ApiEndpoint": f"{url}/x", "Method": "GET"}
        http = Http(reach=Reach.parse("127.0.0.1"))
        found = of(await http.run(job("arn:aws:states:::http:invoke", given)))
        assert found["StatusCode"] == 302


async def test_http_tasks() -> None:
    async def answer(request: web.Request) -> web.Response:
        body = {"q": dict(request.query), "m": request.method, "b": await request.text()}
        return web.json_response(body, status=int(request.query.get("status", "200")))

    async with served(answer) as url:
        http = Http(reach=Reach.parse("127.0.0.0/8"))
        given = {
            "ApiEndpoint": f"{url}/x",
            "Method": "POST",
            "QueryParameters": {"a": "1"},
            "RequestBody": {"n": 2},
        }
        found = of(await http.run(job("arn:aws:states:::http:invoke", given)))
        assert found["ResponseBody"] == {"q": {"a": "1"}, "m": "POST", "b": '{"n":2}'}
        assert (found["StatusCode"], found["StatusText"]) == (200, "OK")
        teapot = {**given, "QueryParameters": {"status": "418"}}
        outcome = await http.run(job("arn:aws:states:::http:invoke", teapot))
        assert isinstance(outcome, TaskFailed)
        assert outcome.error == "States.Http.StatusCode.418"


@pytest.mark.parametrize(
    ("resource", "integration", "missing"),
    [
        ("arn:aws:states:::sqs:sendMessage", BUS, "TORPOR_EVENTS_URL"),
        ("arn:aws:states:::sns:publish", TOPICS, "topics"),
    ],
)
async def test_what_is_missing_is_named(resource: str, integration: Any, missing: str) -> None:
    outcome = await integration.run(job(resource, {}))
    assert isinstance(outcome, TaskFailed)
    assert outcome.error == "States.TaskFailed"
    assert outcome.cause is not None
    assert missing in outcome.cause


def reading(resource: str, arguments: Any, most: int | None = None, **config: Any) -> ReadItems:
    return ReadItems(0, 1, f"arn:aws:states:::{resource}", arguments, config, most)


async def test_items_are_read_from_objects(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/objects")
    items, machine = StoredItems(store), make_machine({})
    await store.put("b", "in/a.json", b'{"deep":{"rows":[1,2,3]}}')
    await store.put("b", "in/b.jsonl", b'{"n":1}\n\n{"n":2}\n')
    await store.put("b", "in/c.csv", b'name,note\r\nann,"a, b"\r\nbob\r\n')

    async def read(key: str, most: int | None = None, **config: Any) -> list[Any]:
        request = reading("s3:getObject", {"Bucket": "b", "Key": key}, most, **config)
        return await items.read(machine, request)

    assert await read("in/a.json", InputType="JSON", ItemsPointer="/deep/rows") == [1, 2, 3]
    assert await read("in/b.jsonl", InputType="JSONL") == [{"n": 1}, {"n": 2}]
    rows = [{"name": "ann", "note": "a, b"}, {"name": "bob", "note": ""}]
    assert await read("in/c.csv", InputType="CSV") == rows
    assert await read("in/c.csv", 1, InputType="CSV") == rows[:1]
    listing = reading("s3:listObjectsV2", {"Bucket": "b", "Prefix": "in/"})
    assert [one["Key"] for one in await items.read(machine, listing)] == [
        "in/a.json",
        "in/b.jsonl",
        "in/c.csv",
    ]
    with pytest.raises(Fault, match=r"States\.ItemReaderFailed"):
        await read("in/none.json")


async def test_an_inventory_manifest_is_followed(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    manifest = {
        "destinationBucket": "arn:aws:s3:::inv",
        "fileSchema": "Bucket, Key",
        "files": [{"key": "d/1.csv"}],
    }
    await store.put("inv", "manifest.json", json.dumps(manifest).encode())
    await store.put("inv", "d/1.csv", b'"src","a"\n"src","b"\n')
    request = reading(
        "s3:getObject", {"Bucket": "inv", "Key": "manifest.json"}, InputType="MANIFEST"
    )
    found = await StoredItems(store).read(make_machine({}), request)
    assert found == [{"Bucket": "src", "Key": "a"}, {"Bucket": "src", "Key": "b"}]


async def test_the_metadata_beside_the_objects_of_a_folder_are_no_objects(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    for key in ("a", ".metadata/a", "x/.metadata/b"):
        await store.put("b", key, b"1")
    assert [entry.key async for entry in store.list("b", "")] == ["a", "x/.metadata/b"]


async def test_results_are_written_with_a_manifest(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    run = "arn:aws:states:us-east-1:1:mapRun:m/label:abc"
    results: list[dict[str, Any]] = [
        {"Status": "SUCCEEDED", "Output": "[1,2]", "Name": "0"},
        {"Status": "FAILED", "Error": "E", "Cause": "", "Name": "1"},
    ]
    request = WriteResults(
        0, 1, "arn:aws:states:::s3:putObject", {"Bucket": "b", "Prefix": "out"}, {}, run, results
    )
    payload = await StoredItems(store).write(make_machine({}), request)
    details = payload.value["ResultWriterDetails"]
    assert details == {"Bucket": "b", "Key": "out/abc/manifest.json"}
    manifest = json.loads(await store.get("b", details["Key"]))
    [file] = manifest["ResultFiles"]["SUCCEEDED"]
    assert json.loads(await store.get("b", file["Key"])) == results[:1]
    assert len(manifest["ResultFiles"]["FAILED"]) == 1


async def test_objects_are_put_got_and_listed(tmp_path: Path) -> None:
    s3 = S3(open_store(f"file://{tmp_path}"))
    put = {"Bucket": "b", "Key": "k/1", "Body": {"a": 1}}
    assert "ETag" in of(await s3.run(job("arn:aws:states:::aws-sdk:s3:putObject", put)))
    got = of(await s3.run(job("arn:aws:states:::aws-sdk:s3:getObject", put)))
    assert got["Body"] == '{"a":1}'
    listed = of(await s3.run(job("arn:aws:states:::aws-sdk:s3:listObjectsV2", {"Bucket": "b"})))
    assert [one["Key"] for one in listed["Contents"]] == ["k/1"]
    missing = await s3.run(
        job("arn:aws:states:::aws-sdk:s3:getObject", {"Bucket": "b", "Key": "x"})
    )
    assert isinstance(missing, TaskFailed)
    assert missing.error == "S3.NoSuchKeyException"


async def test_no_key_leaves_its_bucket(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/objects")
    for bucket, key in (("b", "../../x"), ("..", "x"), ("b/..", "x"), ("", "x")):
        with pytest.raises(StoreFailed):
            await store.put(bucket, key, b"")


async def test_namespaces_do_not_see_one_anothers_objects(tmp_path: Path) -> None:
    store = open_divided_store(f"file://{tmp_path}")
    s3, shop, bank = S3(store), Options(namespace="shop"), Options(namespace="bank")
    put = {"Bucket": "b", "Key": "k", "Body": "shop's"}
    get, listing = "arn:aws:states:::aws-sdk:s3:getObject", {"Bucket": "b"}
    await s3.run(job("arn:aws:states:::aws-sdk:s3:putObject", put, shop))
    assert (tmp_path / "shop" / "b" / "k").read_text() == "shop's"
    assert of(await s3.run(job(get, put, shop)))["Body"] == "shop's"
    for wanted in (put, {**put, "Bucket": "shop", "Key": "b/k"}, {**put, "Key": "../../shop/b/k"}):
        outcome = await s3.run(job(get, wanted, bank))
        assert isinstance(outcome, TaskFailed), outcome
    for options, keys in ((shop, ["k"]), (bank, [])):
        found = of(await s3.run(job("arn:aws:states:::aws-sdk:s3:listObjectsV2", listing, options)))
        assert [one["Key"] for one in found["Contents"]] == keys
        request = reading("s3:listObjectsV2", listing)
        items = await StoredItems(store).read(make_machine({}, options=options), request)
        assert [one["Key"] for one in items] == keys
    outcome = await s3.run(job(get, put, Options(namespace="../shop")))
    assert isinstance(outcome, TaskFailed)
    assert outcome.error == "S3.S3Exception"


def child(name: str, *, fails: bool = False) -> Mapping[str, Any]:
    end = {"Type": "Fail", "Error": "Bad", "Cause": "luck"} if fails else {"Type": "Succeed"}
    return {"StartAt": name, "States": {name: end}}


def parent(pattern: str, arn: str) -> dict[str, Any]:
    task = {
        "Type": "Task",
        "Resource": f"arn:aws:states:::states:startExecution{pattern}",
        "Parameters": {"StateMachineArn": arn, "Input": {"n.$": "$.n"}},
        "End": True,
    }
    return {"StartAt": "s", "States": {"s": task}}


@pytest.mark.parametrize(("pattern", "output"), [(".sync", '{"n":1}'), (".sync:2", {"n": 1})])
async def test_a_nested_execution_is_waited_for(pattern: str, output: Any) -> None:
    async with rig() as it:
        it.engine_integrations["states"] = Executions(
            it.ledger,  # type: ignore[arg-type]
            lambda: it.engine,
            WallClock(),
        )
        inner = await it.machine(child("c"), "inner")
        outer = await it.machine(parent(pattern, inner.arn), "outer")
        end = await it.end(await it.start(outer, {"n": 1}))
        assert end.status is Status.SUCCEEDED, end
        assert end.output is not None
        assert end.output.value["Output"] == output
        assert end.output.value["Status"] == "SUCCEEDED"


async def test_a_nested_failure_fails_the_task_and_a_stopped_parent_stops_its_child() -> None:
    async with rig() as it:
        it.engine_integrations["states"] = Executions(
            it.ledger,  # type: ignore[arg-type]
            lambda: it.engine,
            WallClock(),
        )
        bad = await it.machine(child("c", fails=True), "bad")
        end = await it.end(await it.start(await it.machine(parent(".sync", bad.arn)), {"n": 1}))
        assert end.error == "States.TaskFailed"
        assert end.cause is not None
        assert json.loads(end.cause)["Error"] == "Bad"
        sleeper = {"StartAt": "w", "States": {"w": {"Type": "Wait", "Seconds": 600, "End": True}}}
        long = await it.machine(sleeper, "long")
        outer = await it.start(await it.machine(parent(".sync:2", long.arn), "o2"), {"n": 1})
        await it.until(lambda: len(it.ledger.arns("long")) == 1)
        [arn] = it.ledger.arns("long")
        await asyncio.sleep(0.2)
        await it.engine.stop(outer.arn, None, None)
        assert (await it.end(await it.ledger.execution(arn))).status is Status.ABORTED


async def test_an_express_child_runs() -> None:
    async with rig() as it:
        it.engine_integrations["states"] = Executions(
            it.ledger,  # type: ignore[arg-type]
            lambda: it.engine,
            WallClock(),
        )
        inner = await it.machine(child("c"), "fast", MachineType.EXPRESS)
        end = await it.end(await it.start(await it.machine(parent("", inner.arn)), {"n": 1}))
        assert end.status is Status.SUCCEEDED
        assert end.output is not None
        assert ":express:fast:" in end.output.value["ExecutionArn"]


async def test_a_state_machine_of_another_namespace_is_not_started() -> None:
    async with rig() as it:
        it.engine_integrations["states"] = Executions(
            it.ledger,  # type: ignore[arg-type]
            lambda: it.engine,
            WallClock(),
        )
        options = Options(namespace="bank")
        for kind in (MachineType.STANDARD, MachineType.EXPRESS):
            theirs = await it.machine(child("c"), f"bank.{kind}", kind, options)
            outer = await it.machine(parent("", theirs.arn), f"shop.{kind}")
            end = await it.end(await it.start(outer, {"n": 1}))
            assert end.error == "StepFunctions.AccessDeniedException"
            assert end.cause is not None
            assert "is not of the namespace default" in end.cause
            assert not it.ledger.arns(theirs.name)
