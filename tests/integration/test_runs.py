"""Job Functions from a gateway's door to the Job, and back to who asks."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from aiohttp import web
from botocore.exceptions import ClientError

from tests.support.fake_api import Refusal
from tests.support.haproxy import needs_haproxy
from tests.support.lambda_rig import call, client
from tests.support.platform_rig import until
from tests.support.real_gateway import free_port
from tests.support.run_rig import ENDED, RUNNING, Rig, job_function, run_rig, terminated
from torpor.resources.run import MAX_INPUT_BYTES, MAX_INPUTS_BYTES, run_id
from torpor.telemetry.metrics import REGISTRY

pytestmark = needs_haproxy


def counted(metric: str, outcome: str) -> float:
    """What a metric of the function says."""
    labels = {"namespace": "shop", "function": "encode", "outcome": outcome}
    return REGISTRY.get_sample_value(metric, labels) or 0.0


async def test_a_call_is_a_run_and_its_end_is_told_to_who_waits() -> None:
    async with run_rig() as rig:
        seconds = counted("torpor_run_pod_seconds_total", "succeeded")
        location = await rig.start(b'{"clip": "caff\xc3\xa8.mp4"}')
        [job] = rig.jobs()
        notes = job["spec"]["template"]["metadata"]["annotations"]
        assert json.loads(notes["torpor.dev/run-input"]) == {"clip": "caffè.mp4"}
        assert (await rig.told(location, state="Pending"))["function"] == "encode"
        rig.pod(location, RUNNING)
        rig.job(location, active=1)
        await rig.told(location, state="Running")
        began = time.monotonic()
        waiting = asyncio.create_task(rig.send("GET", f"{location}?wait=20"))
        rig.pod(location, terminated(0, '{"frames": 1323}'))
        rig.end(location, "Complete", completedIndexes="0")
        status, headers, told = await waiting
        assert (status, told["state"], told["result"]) == (200, "Succeeded", {"frames": 1323})
        assert time.monotonic() - began < 10, "it is told when it ends, not when the wait does"
        assert (told["finished"], told["podSeconds"], "Retry-After" in headers) == (
            ENDED,
            60,
            False,
        )
        await until(lambda: counted("torpor_run_pod_seconds_total", "succeeded") == seconds + 60)
        await until(
            lambda: any(item["reason"] == "RunSucceeded" for item in rig.fake.all("events"))
        )
        event = rig.fake.all("events")[-1]
        assert event["regarding"]["kind"] == "Job", "the Function is not there to be told of"


async def test_a_run_has_a_span_below_its_callers_or_begins_a_trace() -> None:
    trace, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    async with run_rig() as rig:
        spans = rig.controller.spans
        for headers in ({"traceparent": f"00-{trace}-{caller}-01"}, {}):
            location = await rig.start(b"{}", **headers)
            rig.pod(location, terminated(0, "1"))
            rig.end(location, "Complete", completedIndexes="0")
            await rig.told(location, state="Succeeded")
        await until(lambda: len(spans) == 2)
        programs = [
            item["value"]
            for job in rig.jobs()
            for item in job["spec"]["template"]["spec"]["containers"][0]["env"]
            if item["name"] == "TRACEPARENT"
        ]
    first, second = spans
    assert (first.trace_id, first.parent_span_id) == (trace, caller)
    assert second.parent_span_id is None, "what a gateway began for itself nobody tells"
    assert sorted(programs) == sorted(f"00-{s.trace_id}-{s.span_id}-01" for s in spans)
    assert first.attributes["torpor.run.pod_seconds"] == 60


async def test_one_key_is_one_run_however_often_it_comes() -> None:
    async with run_rig() as rig:
        first = await rig.start(b"1", Idempotency_Key="order-7")
        again = await asyncio.gather(
            *(rig.start(b"1", Idempotency_Key="order-7") for _ in range(5))
        )
        assert {first, *again} == {first}
        assert len(rig.jobs()) == 1
        event = {"ce-specversion": "1.0", "ce-id": "7", "ce-source": "/s", "ce-type": "t"}
        assert await rig.start(b"2", **event) == await rig.start(b"2", **event)
        assert await rig.start(b"1") != await rig.start(b"1")
        assert len(rig.jobs()) == 4


async def test_a_run_is_found_and_cancelled_by_its_key_and_never_made_so() -> None:
    async with run_rig() as rig:
        path = "/function/shop/encode"
        for method in ("GET", "DELETE"):
            status, _, told = await rig.send(method, path, Idempotency_Key="a/7 b+c")
            assert (status, told["code"]) == (404, "unknown-run")
        assert rig.jobs() == []
        location = await rig.start(b"1", Idempotency_Key="a/7 b+c")
        status, _, told = await rig.send("GET", path, Idempotency_Key="a/7 b+c")
        assert (status, told["id"]) == (200, location.rpartition("/")[2])
        status, _, told = await rig.send("DELETE", path, Idempotency_Key="a/7 b+c")
        assert (status, told["location"]) == (202, location)
        [job] = rig.jobs()
        assert job["spec"]["activeDeadlineSeconds"] == 1


async def test_the_functions_own_host_leads_there_too() -> None:
    async with run_rig() as rig:
        host = {"Host": "encode.shop.svc", "Prefer": "respond-async"}
        status, headers, told = await rig.send("POST", "/any/path", b"{}", **host)
        assert (status, headers["Preference-Applied"]) == (202, "respond-async")
        status, _, told = await rig.send("GET", headers["Location"], Host="encode.shop.svc")
        assert (status, told["id"]) == (200, headers["Location"].rpartition("/")[2])


async def test_what_is_no_call_is_refused_with_what_to_do() -> None:
    async with run_rig() as rig:
        path = "/function/shop/encode"
        status, headers, told = await rig.send("GET", path)
        assert (status, headers["Allow"], told["code"]) == (405, "POST", "method-not-allowed")
        status, _, told = await rig.send("POST", path, b"x" * (MAX_INPUT_BYTES + 1))
        assert (status, "store it" in told["detail"]) == (413, True)
        status, _, told = await rig.send("POST", path, b"\xff\xd8\xff")
        assert (status, "UTF-8" in told["detail"]) == (415, True)
        status, _, told = await rig.send("POST", path, b"1", Idempotency_Key="k" * 256)
        assert (status, told["code"]) == (400, "idempotency-key")
        for unknown in ("/function/@runs/shop/none-1", "/function/@runs/x", "/function/@runs/"):
            for method in ("GET", "DELETE"):
                status, _, told = await rig.send(method, unknown)
                assert (status, told["code"]) == (404, "unknown-run")
        status, _, told = await rig.send("GET", "/function/@runs/shop/none-1?wait=31")
        assert (status, "from 0 to 30" in told["detail"]) == (400, True)
        assert rig.jobs() == []


async def test_an_answer_that_is_lost_makes_no_second_run() -> None:
    async with run_rig() as rig:
        rig.fake.refuse("POST", Refusal(503, applied=True))
        location = await rig.start(b"1")
        assert len(rig.jobs()) == 1
        assert (await rig.run(location))["state"] == "Pending"


async def test_an_input_that_every_index_keeps_is_bounded_by_their_number() -> None:
    async with run_rig(job_function(job={"completions": 1000})) as rig:
        body = b"x" * (MAX_INPUTS_BYTES // 1000 + 1)
        status, _, told = await rig.send("POST", "/function/shop/encode", body)
        assert (status, told["code"]) == (413, "request-too-large")
        assert "of 1000 indexes is at most 16777 bytes" in told["detail"]
        assert rig.jobs() == []
        await rig.start(body[:-1])


PYTHON: dict[str, Any] = {
    "runtime": "python3",
    "handler": "main.handler",
    "image": None,
    "code": {"configMap": "code"},
}


def code_map(text: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": "code"}, "data": {"main.py": text}}


def mounted(rig: Rig) -> list[dict[str, Any]]:
    """The ConfigMaps with the code of each run, as its pods find them."""
    found = []
    for job in rig.jobs():
        volumes = {item["name"]: item for item in job["spec"]["template"]["spec"]["volumes"]}
        copy = rig.fake.find("configmaps", "shop", volumes["code"]["configMap"]["name"])
        assert copy is not None
        found.append(copy)
    return found


async def test_a_run_keeps_the_code_that_it_was_started_with() -> None:
    async with run_rig(job_function(**PYTHON)) as rig:
        rig.fake.put("configmaps", code_map("first"))
        await rig.start()
        rig.fake.put("configmaps", code_map("second"))
        await rig.start()
        rig.fake.remove("configmaps", "shop", "code")
        copies = mounted(rig)
        assert {copy["data"]["main.py"] for copy in copies} == {"first", "second"}
        assert all(copy["immutable"] for copy in copies)
        owners = {copy["metadata"]["ownerReferences"][0]["uid"] for copy in copies}
        assert owners == {job["metadata"]["uid"] for job in rig.jobs()}, "it goes with its run"


async def test_the_leader_makes_the_copy_that_a_maker_who_died_did_not() -> None:
    async with run_rig(job_function(**PYTHON)) as rig:
        rig.fake.put("configmaps", code_map("first"))
        await rig.controller.retire()
        location = await rig.start()
        [copy] = mounted(rig)
        name = copy["metadata"]["name"]
        rig.fake.remove("configmaps", "shop", name)
        rig.fake.remove("configmaps", "shop", "code")
        rig.controller.lead(rig.session)
        told = await rig.told(location, reason="FailedCreate")
        assert "the ConfigMap code with its code is gone" in told["message"]
        rig.fake.put("configmaps", code_map("first"))
        await until(lambda: rig.fake.find("configmaps", "shop", name) is not None)
        assert mounted(rig)[0]["data"] == {"main.py": "first"}


async def test_a_name_that_is_taken_is_said() -> None:
    async with run_rig() as rig:
        [function] = rig.functions.values()
        name = run_id(function.key, function.uid, "order-7")
        foreign = {"metadata": {"namespace": "shop", "name": name}, "spec": {}}
        rig.fake.put("jobs", {"apiVersion": "batch/v1", **foreign})
        path = "/function/shop/encode"
        status, _, told = await rig.send("POST", path, b"1", Idempotency_Key="order-7")
        assert (status, told["code"]) == (409, "not-owned")
        assert "delete or rename it" in told["detail"]


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (Refusal(403, message='jobs "x" is forbidden: exceeded quota: few'), 429, "quota"),
        (Refusal(422, message="spec.template.spec.volumes[1].name: Duplicate"), 409, "job-refused"),
        (Refusal(422, message='Job.batch "quota-report-1" is invalid'), 409, "job-refused"),
    ],
)
async def test_what_the_api_server_refuses_is_told(
    refusal: Refusal, status: int, code: str
) -> None:
    async with run_rig() as rig:
        rig.fake.refuse("POST", refusal)
        told = await rig.send("POST", "/function/shop/encode", b"1")
        assert (told[0], told[2]["code"]) == (status, code)
        assert refusal.message in told[2]["detail"]


async def test_a_job_that_is_none_of_ours_is_no_run() -> None:
    async with run_rig() as rig:
        foreign = {"metadata": {"namespace": "shop", "name": "backup-1"}, "spec": {}}
        rig.fake.put("jobs", {"apiVersion": "batch/v1", **foreign})
        for method in ("GET", "DELETE"):
            status, _, told = await rig.send(method, "/function/@runs/shop/backup-1")
            assert (status, told["code"]) == (404, "unknown-run")
        found = rig.fake.find("jobs", "shop", "backup-1")
        assert found is not None
        assert found["spec"] == {}


async def test_cancelling_ends_the_job_with_grace() -> None:
    async with run_rig() as rig:
        location = await rig.start()
        rig.pod(location, RUNNING)
        await rig.told(location, state="Running")
        status, _, told = await rig.send("DELETE", location)
        assert (status, told["location"]) == (202, location)
        [job] = rig.jobs()
        assert job["spec"]["activeDeadlineSeconds"] == 1, "which ends what runs with its grace"
        assert (await rig.told(location, reason="Cancelling"))["state"] == "Running"
        rig.pod(location, terminated(143))
        rig.end(location, "Failed", "DeadlineExceeded")
        assert (await rig.told(location, state="Cancelled"))["finished"] == ENDED
        assert (await rig.send("DELETE", location))[0] == 202, "it has ended, as was asked for"


async def test_a_failure_says_which_index_and_why() -> None:
    several = job_function(job={"completions": 2, "parallelism": 2})
    async with run_rig(several) as rig:
        location = await rig.start()
        rig.pod(location, terminated(0, "1"), index=0)
        rig.pod(location, terminated(64, '{"error": "no video stream"}'), index=1, phase="Failed")
        rig.end(location, "Failed", "FailedIndexes", completedIndexes="0", failedIndexes="1")
        told = await rig.told(location, state="Failed")
        assert (told["reason"], told["message"]) == ("BadInput", "index 1: no video stream")
        assert told["indexes"] == {"succeeded": 1, "failed": 1, "active": 0, "total": 2}
        assert told["result"] == [1, None]


async def test_why_kubernetes_makes_no_pods_is_told() -> None:
    async with run_rig() as rig:
        location = await rig.start()
        [job] = rig.jobs()
        rig.fake.put(
            "events",
            {
                "apiVersion": "events.k8s.io/v1",
                "metadata": {"namespace": "shop", "name": "e"},
                "reason": "FailedCreate",
                "note": "exceeded quota: gpus",
                "regarding": {"kind": "Job", "name": "x", "uid": job["metadata"]["uid"]},
            },
        )
        told = await rig.told(location, reason="FailedCreate")
        assert (told["state"], told["message"]) == ("Pending", "exceeded quota: gpus")


async def test_progress_is_asked_for_and_told() -> None:
    port = free_port()
    app = web.Application()
    snapshot = {"done": 331, "total": 1324, "unit": "frames", "speed": 24.5, "leftSeconds": 40.5}

    async def progress(_: web.Request) -> web.Response:
        return web.json_response(snapshot)

    app.router.add_get("/progress", progress)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with run_rig(progress_port=port) as rig:
            location = await rig.start()
            rig.pod(location, RUNNING)
            wanted = {**snapshot, "ratio": 0.25, "message": ""}
            told = await rig.told(location, progress=wanted)
            assert told["state"] == "Running"
            snapshot["done"] = 1324
            rig.pod(location, terminated(0))
            rig.end(location, "Complete", completedIndexes="0")
            told = await rig.told(location, state="Succeeded")
            assert (told["progress"]["ratio"], told["progress"]["done"]) == (1.0, 1324)
    finally:
        await runner.cleanup()


async def test_a_namespace_that_is_deleted_does_not_wait_for_its_runs() -> None:
    async with run_rig() as rig:
        location = await rig.start()
        rig.pod(location, terminated(143))
        await rig.told(location, reason="Disrupted")
        assert len(rig.jobs()) == 1
        meta = {"name": "shop", "deletionTimestamp": ENDED}
        rig.fake.put("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        await until(lambda: not rig.jobs(), 10)


async def test_a_new_leader_goes_on_and_writes_nothing_that_is_known() -> None:
    async with run_rig() as rig:
        location = await rig.start()
        rig.pod(location, RUNNING)
        await rig.told(location, state="Running")
        await rig.controller.retire()
        spec, writes = rig.jobs()[0]["spec"], rig.fake.requests["PATCH", "jobs"]
        rig.controller.lead(rig.session)
        await asyncio.sleep(0.5)
        assert (rig.jobs()[0]["spec"], rig.fake.requests["PATCH", "jobs"]) == (spec, writes)
        rig.pod(location, terminated(0, "7"))
        rig.end(location, "Complete", completedIndexes="0")
        assert (await rig.told(location, state="Succeeded"))["result"] == 7


async def test_what_a_former_leader_counted_is_not_lost_with_its_pods() -> None:
    async with run_rig(job_function(job={"completions": 2})) as rig:
        unseen = counted("torpor_run_pod_seconds_total", "unseen")
        location = await rig.start()
        rig.pod(location, terminated(143), index=0)
        await rig.told(location, podSeconds=60)
        await rig.controller.retire()
        rig.fake.remove("pods", "shop", f"{location.rpartition('/')[2]}-0")
        rig.controller.lead(rig.session)
        later = {"startedAt": ENDED, "finishedAt": "2026-01-01T00:01:40Z", "exitCode": 0}
        rig.pod(location, {"terminated": later}, index=1)
        rig.end(location, "Complete", completedIndexes="0,1")
        assert (await rig.told(location, state="Succeeded"))["podSeconds"] == 90
        await until(lambda: counted("torpor_run_pod_seconds_total", "unseen") == unseen + 60)


async def test_a_function_that_is_gone_leaves_its_runs_alone() -> None:
    async with run_rig() as rig:
        location = await rig.start()
        before = rig.jobs()[0]["spec"]
        [key] = rig.functions
        rig.functions.clear()
        rig.platform.remove(key)
        rig.pod(location, terminated(0, "7"))
        rig.end(location, "Complete", completedIndexes="0")
        assert (await rig.told(location, state="Succeeded"))["result"] == 7
        assert rig.jobs()[0]["spec"] == before


async def test_reserved_concurrency_is_the_most_runs_at_once() -> None:
    async with run_rig(job_function(reservedConcurrency=2)) as rig:
        answers = await asyncio.gather(
            *(
                rig.send("POST", "/function/shop/encode", b"1", Idempotency_Key=str(number))
                for number in range(4)
            )
        )
        assert sorted(status for status, *_ in answers) == [202, 202, 429, 429]
        refused = next(answer for answer in answers if answer[0] == 429)
        assert (refused[1]["Retry-After"], refused[2]["code"]) == ("5", "reserved-concurrency")
        [first, second] = [told["location"] for status, _, told in answers if status == 202]
        key = next(str(n) for n, answer in enumerate(answers) if answer[0] == 202)
        assert await rig.start(b"1", Idempotency_Key=key) == first, "the same run is no other"
        rig.end(second, "Complete")
        await rig.told(second, state="Succeeded")
        await rig.start(b"1", Idempotency_Key="next")


async def test_what_the_function_lacks_is_said() -> None:
    functions = (
        job_function("lacks", **{**PYTHON, "code": {"configMap": "gone"}}),
        job_function("ruby", **{**PYTHON, "runtime": "ruby"}),
        job_function("fits", **PYTHON),
    )
    async with run_rig(*functions) as rig:
        rig.fake.put("configmaps", code_map("pass"))
        status, _, told = await rig.send("POST", "/function/shop/lacks", b"1")
        assert (status, told["code"]) == (503, "config-map-missing")
        status, _, told = await rig.send("POST", "/function/shop/ruby", b"1")
        assert (status, told["code"]) == (503, "unknown-runtime")
        await rig.start(b"1", name="fits")


async def test_a_gpu_that_no_node_has_is_done_without() -> None:
    gpu = {"products": ["NVIDIA-L4"], "fallback": "cpu"}
    async with run_rig(job_function(job={"gpu": gpu})) as rig:
        location = await rig.start()
        rig.pod(location, RUNNING)
        assert "no node has NVIDIA-L4" in (await rig.told(location, state="Running"))["message"]
        looked = rig.fake.requests["LIST", "nodes"]
        await rig.start()
        assert rig.fake.requests["LIST", "nodes"] == looked == 1, "it looked a moment ago"
        assert limits_of(rig.jobs()) == [None, None]


@pytest.mark.parametrize("may_look", [True, False])
async def test_a_gpu_is_asked_for_where_one_is_or_may_be(may_look: bool) -> None:
    gpu = {"products": ["NVIDIA-L4"], "fallback": "cpu"}
    async with run_rig(job_function(job={"gpu": gpu})) as rig:
        rig.fake.put(
            "nodes",
            {
                "metadata": {"name": "gpu-1", "labels": {"nvidia.com/gpu.product": "NVIDIA-L4"}},
                "status": {"allocatable": {"nvidia.com/gpu": "1"}},
            },
        )
        if not may_look:
            rig.fake.refuse("LIST", Refusal(403))
        await rig.start()
        assert limits_of(rig.jobs()) == [{"nvidia.com/gpu": 1}]


def limits_of(jobs: list[dict[str, Any]]) -> list[object]:
    """The limits of the pods of each Job."""
    containers = [job["spec"]["template"]["spec"]["containers"][0] for job in jobs]
    return [item.get("resources", {}).get("limits") for item in containers]


async def test_lambda_clients_start_runs_and_wait_for_none() -> None:
    async with run_rig() as rig:
        boto = client(rig.url)
        arguments: dict[str, Any] = {"FunctionName": "shop.encode", "Payload": b'{"n": 1}'}
        told = await asyncio.to_thread(call, boto, "invoke", InvocationType="Event", **arguments)
        assert told["StatusCode"] == 202
        [job] = rig.jobs()
        notes = job["spec"]["template"]["metadata"]["annotations"]
        assert notes["torpor.dev/run-input"] == '{"n": 1}'
        with pytest.raises(ClientError, match="nobody waits for a run: call it with"):
            await asyncio.to_thread(call, boto, "invoke", **arguments)
        with pytest.raises(ClientError, match="nobody waits for a run"):
            await asyncio.to_thread(
                call, boto, "invoke_with_response_stream", FunctionName="shop.encode"
            )


async def test_the_controllers_api_asks_for_the_token() -> None:
    async with run_rig() as rig:
        url = f"http://127.0.0.1:{rig.controller.api.port}/v1/runs"
        async with rig.session.post(url, json={}) as answer:
            assert answer.status == 403
        async with rig.session.get(f"{url}/shop/x", headers={"X-Torpor-Token": "no"}) as answer:
            assert answer.status == 403


async def test_without_controllers_it_is_said_and_passes() -> None:
    async with run_rig() as rig:
        location = await rig.start()
        await rig.controller.api.stop()
        status, headers, told = await rig.send("GET", location)
        assert (status, told["code"], headers["Retry-After"]) == (503, "runs-unavailable", "1")


async def test_who_waits_keeps_nobody_out_and_outlives_a_controller() -> None:
    async with run_rig() as rig:
        location = await rig.start()
        waiting = [asyncio.create_task(rig.send("GET", f"{location}?wait=20")) for _ in range(150)]
        await asyncio.sleep(0.5)
        assert await rig.start() != location
        port = rig.controller.api.port
        await rig.controller.api.stop()
        await rig.controller.api.start("127.0.0.1", port)
        rig.end(location, "Complete")
        told = [(status, run["state"]) for status, _, run in await asyncio.gather(*waiting)]
        assert set(told) == {(200, "Succeeded")}


async def test_names_that_are_made_up_do_not_reach_the_api_server_without_bound() -> None:
    async with run_rig() as rig:
        before = rig.fake.requests["GET", "jobs"]
        answers = await asyncio.gather(
            *(rig.send("GET", f"/function/@runs/shop/none-{number}") for number in range(300))
        )
        assert {status for status, *_ in answers} == {404, 429}
        assert rig.fake.requests["GET", "jobs"] - before < 250


async def test_a_queued_run_that_is_cancelled_is_collected() -> None:
    async with run_rig(job_function(job={"queue": "gpus", "ttlSeconds": 60})) as rig:
        location = await rig.start()
        assert (await rig.told(location, reason="Queued"))["state"] == "Pending"
        await rig.send("DELETE", location)
        await rig.told(location, state="Cancelled")
        [job] = rig.jobs()
        assert job["spec"]["parallelism"] == 0, "were it admitted now, no pod would be made"
        notes = {
            **job["metadata"]["annotations"],
            "torpor.dev/run-cancelled": "2026-01-01T00:00:00Z",
        }
        rig.fake.put("jobs", {**job, "metadata": {**job["metadata"], "annotations": notes}})
        await until(lambda: rig.jobs() == [])
