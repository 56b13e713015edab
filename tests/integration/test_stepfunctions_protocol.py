"""The wire: AWS JSON 1.0, signatures, tokens, and what is answered when things are away."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError

from tests.support.stepfunctions_rig import (
    ROLE,
    SHORT_POLL,
    Rig,
    make_client,
    make_proxied_client,
    serving,
)

PASS = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})


async def post(
    api: Rig, target: str | None, body: bytes = b"{}", **headers: str
) -> tuple[int, Any, Any]:
    url = f"http://127.0.0.1:{api.port}/"
    if target is not None:
        headers["X-Amz-Target"] = target
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(body), headers=headers) as answer,
    ):
        return answer.status, await answer.json(content_type=None), answer.headers


async def test_an_answer_is_aws_json() -> None:
    async with serving() as api:
        status, body, headers = await post(api, "AWSStepFunctions.ListActivities")
        assert (status, body) == (200, {"activities": []})
        assert headers["Content-Type"] == "application/x-amz-json-1.0"
        assert headers["x-amzn-RequestId"]


async def test_an_error_is_named() -> None:
    async with serving() as api:
        body = json.dumps({"stateMachineArn": "x"}).encode()
        status, answer, _ = await post(api, "AWSStepFunctions.DescribeStateMachine", body)
        assert status == 400
        assert answer == {
            "__type": "com.amazonaws.swf.service.v2.model#InvalidArn",
            "message": "Invalid Arn: 'Invalid ARN prefix: x'",
        }


async def test_a_missing_member_is_named() -> None:
    async with serving() as api:
        _, answer, _ = await post(api, "AWSStepFunctions.DescribeStateMachine")
        assert answer["message"] == (
            "1 validation error detected: Value null at 'stateMachineArn' failed to satisfy "
            "constraint: Member must not be null"
        )


@pytest.mark.parametrize("target", [None, "AWSStepFunctions.Nothing", "Other.ListActivities"])
async def test_a_call_that_does_not_exist(target: str | None) -> None:
    async with serving() as api:
        status, answer, _ = await post(api, target)
        assert (status, answer["__type"].rpartition("#")[2]) == (400, "UnknownOperationException")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"maxResults": "3"}', b"\xff"])
async def test_a_body_that_cannot_be_read(body: bytes) -> None:
    async with serving() as api:
        status, answer, _ = await post(api, "AWSStepFunctions.ListActivities", body)
        assert (status, answer["__type"].rpartition("#")[2]) == (400, "SerializationException")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x"])
async def test_a_body_is_taken_as_it_is_only(
    encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as api:
        coded = {"Content-Encoding": encoding}
        status, answer, _ = await post(api, "AWSStepFunctions.ListActivities", b"{}", **coded)
        assert (status, answer["__type"].rpartition("#")[2]) == (400, "SerializationException")
        assert encoding in answer["message"]
    assert not caplog.records


async def test_the_longest_definition_fits_into_a_request() -> None:
    """Nearly 1 MiB of a definition, most of it quotation marks that are escaped twice."""
    comment = '"' * 500_000
    definition = json.dumps({"Comment": comment, **json.loads(PASS)})
    async with serving() as api:
        made = await api("create_state_machine", name="m", definition=definition, roleArn=ROLE)
        found = await api("describe_state_machine", stateMachineArn=made["stateMachineArn"])
        assert found["definition"] == definition


async def test_a_request_can_be_too_long() -> None:
    async with serving() as api:
        body = b" " * (8 * 1_048_576 + 1)
        status, answer, _ = await post(api, "AWSStepFunctions.ListActivities", body)
        assert status == 413
        assert answer["__type"].endswith("#RequestEntityTooLargeException")


async def test_health_is_told_while_the_ledger_is_away() -> None:
    async with serving() as api:
        api.records.away = True
        url = f"http://127.0.0.1:{api.port}/healthz"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 200


async def test_starts_are_refused_while_the_ledger_is_away() -> None:
    async with serving() as api:
        made = await api("create_state_machine", name="m", definition=PASS, roleArn=ROLE)
        api.records.away = True
        body = json.dumps({"stateMachineArn": made["stateMachineArn"]}).encode()
        status, answer, headers = await post(api, "AWSStepFunctions.StartExecution", body)
        assert (status, headers["Retry-After"]) == (503, "1")
        assert answer["__type"].endswith("#ServiceUnavailable")
        with pytest.raises(ClientError) as refused:
            await asyncio.to_thread(
                api.client.start_execution, stateMachineArn=made["stateMachineArn"]
            )
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        api.records.away = False
        assert (await api("start_execution", stateMachineArn=made["stateMachineArn"]))[
            "executionArn"
        ]


async def test_a_defect_is_not_told_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as api:

        async def broken(limit: int, token: str | None) -> None:
            raise RuntimeError("a secret of the house")

        monkeypatch.setattr(api.records, "activities", broken)
        status, answer, _ = await post(api, "AWSStepFunctions.ListActivities")
        assert status == 500
        assert answer["__type"].endswith("#InternalFailure")
        assert "secret" not in answer["message"]


async def test_the_host_does_not_matter() -> None:
    """Clients put `sync-` before the host of StartSyncExecution and TestState."""
    async with serving() as api:
        client = make_proxied_client(api.port, "http://states.example")
        made = await asyncio.to_thread(
            client.create_state_machine, name="m", definition=PASS, roleArn=ROLE, type="EXPRESS"
        )
        found = await asyncio.to_thread(
            client.start_sync_execution, stateMachineArn=made["stateMachineArn"]
        )
        assert found["status"] == "SUCCEEDED"
        client.close()


SIGNED = replace(SHORT_POLL, credentials=(("AKIATEST", "the secret"),), token="bearer-token")


async def test_signed_calls_are_let_in() -> None:
    async with serving(SIGNED) as api:
        client = make_client(api.port, "AKIATEST", "the secret")
        assert (await asyncio.to_thread(client.list_activities))["activities"] == []
        name = "with ünïcode and  spaces"
        with pytest.raises(ClientError) as refused:
            await asyncio.to_thread(client.create_activity, name=name)
        assert refused.value.response["Error"]["Code"] == "InvalidName"
        client.close()


@pytest.mark.parametrize(
    ("key", "secret", "code"),
    [
        ("AKIATEST", "a guess", "InvalidSignatureException"),
        ("AKIAOTHER", "the secret", "UnrecognizedClientException"),
    ],
)
async def test_calls_signed_by_others_are_not(key: str, secret: str, code: str) -> None:
    async with serving(SIGNED) as api:
        client = make_client(api.port, key, secret)
        with pytest.raises(ClientError) as refused:
            await asyncio.to_thread(client.list_activities)
        assert refused.value.response["Error"]["Code"] == code
        client.close()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "MissingAuthenticationTokenException"),
        ({"Authorization": "Basic abc"}, "IncompleteSignatureException"),
        ({"Authorization": "Bearer wrong"}, "UnrecognizedClientException"),
    ],
)
async def test_calls_without_a_proof_are_not(headers: dict[str, str], code: str) -> None:
    async with serving(SIGNED) as api:
        status, answer, _ = await post(api, "AWSStepFunctions.ListActivities", b"{}", **headers)
        assert (status, answer["__type"].rpartition("#")[2]) == (400, code)


async def test_the_bearer_token_lets_in() -> None:
    async with serving(SIGNED) as api:
        bearer = {"Authorization": "Bearer bearer-token"}
        status, _, _ = await post(api, "AWSStepFunctions.ListActivities", b"{}", **bearer)
        assert status == 200


async def test_a_long_poll_ends_with_the_server() -> None:
    settings = replace(SHORT_POLL, drain_seconds=0.1)
    loop = asyncio.get_running_loop()
    async with serving(settings) as api:
        assert api.engine is not None
        waiting = asyncio.Event()

        async def forever(arn: str, worker: str | None, wait_seconds: float) -> None:
            waiting.set()
            await asyncio.sleep(60)

        api.engine.poll_activity = forever  # type: ignore[method-assign]
        made = await api("create_activity", name="a")
        body = json.dumps({"activityArn": made["activityArn"]}).encode()
        poll = asyncio.create_task(post(api, "AWSStepFunctions.GetActivityTask", body))
        await asyncio.wait_for(waiting.wait(), 5)
        before = loop.time()
    assert loop.time() - before < 5
    with pytest.raises(aiohttp.ClientError):
        await poll
