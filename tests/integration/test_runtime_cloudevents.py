"""`payload: cloudevents` of the Python runtime: the handler is given events, not requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession

from tests.integration.runtimes import running
from torpor.triggers.event import from_http

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
BINARY = {
    "ce-id": "7",
    "ce-source": "/orders",
    "ce-type": "order.paid",
    "ce-specversion": "1.0",
    "Content-Type": "application/json",
}
EVENT: dict[str, Any] = {
    "id": "7",
    "source": "/orders",
    "type": "order.paid",
    "specversion": "1.0",
    "datacontenttype": "application/json",
}
HANDLERS = """
import datetime

def shown(event):
    data = event.data.hex() if isinstance(event.data, bytes) else event.data
    return {"attributes": event.attributes, "data": data}

def shows(event, context):
    if isinstance(event, list):
        return [shown(item) for item in event]
    return {**shown(event), "type": event["type"], "none": event.get("none", 0)}

def replies(event, context):
    return {
        "nothing": None,
        "text": "taken",
        "same": event,
        "dict": {
            "specversion": "1.0", "id": "8", "source": "s", "subject": "é", "type": "order.sent",
            "time": datetime.datetime(2027, 1, 31, tzinfo=datetime.timezone.utc), "first": True,
            "data": {"a": 1},
        },
        "bytes": {"specversion": "1.0", "id": "8", "source": "s", "type": "t", "data": b"x"},
        "no data": {"specversion": "1.0", "id": "8", "source": "s", "type": "t"},
    }[event.data]
"""


@asynccontextmanager
async def sent(
    folder: Path, handler: str, body: bytes, headers: dict[str, str]
) -> AsyncIterator[ClientResponse]:
    async with (
        running(folder, f"main.{handler}", HANDLERS, TORPOR_PAYLOAD="cloudevents") as runtime,
        ClientSession() as session,
        session.post(runtime.url, data=body, headers=headers) as answer,
    ):
        yield answer


async def test_an_event_in_binary_mode(tmp_path: Path) -> None:
    headers = {**BINARY, "ce-subject": "%C3%A9 %22x", "ce-note": '"said \\"so\\""'}
    async with sent(tmp_path, "shows", b'{"total": 3}', headers) as answer:
        told = await answer.json()
    assert told["attributes"] == {**EVENT, "subject": 'é "x', "note": 'said "so"'}
    assert (told["data"], told["type"], told["none"]) == ({"total": 3}, "order.paid", 0)


@pytest.mark.parametrize(
    ("kind", "body", "data"),
    [
        ("application/vnd.shop+json", b"[1]", [1]),
        ("text/plain", "é".encode(), "é"),
        ("image/png", b"\x89", "89"),
        ("application/json", b"", None),
    ],
)
async def test_data_is_what_its_type_says(
    tmp_path: Path, kind: str, body: bytes, data: Any
) -> None:
    async with sent(tmp_path, "shows", body, {**BINARY, "Content-Type": kind}) as answer:
        assert (await answer.json())["data"] == data


@pytest.mark.parametrize(
    ("more", "data"), [({"data": {"a": 1}}, {"a": 1}), ({"data_base64": "/w=="}, "ff"), ({}, None)]
)
async def test_an_event_in_structured_mode(tmp_path: Path, more: dict[str, Any], data: Any) -> None:
    body = json.dumps({**EVENT, **more}).encode()
    async with sent(tmp_path, "shows", body, {"Content-Type": STRUCTURED}) as answer:
        told = await answer.json()
    assert (told["attributes"], told["data"]) == (EVENT, data)


async def test_a_batch_is_a_list(tmp_path: Path) -> None:
    body = json.dumps([{**EVENT, "data": 1}, {**EVENT, "id": "8", "data": 2}]).encode()
    async with sent(tmp_path, "shows", body, {"Content-Type": BATCH}) as answer:
        told = await answer.json()
    assert [(item["attributes"]["id"], item["data"]) for item in told] == [("7", 1), ("8", 2)]


@pytest.mark.parametrize(
    ("headers", "body", "detail"),
    [
        ({}, b"{}", "not a CloudEvent: send ce-id"),
        ({**BINARY, "ce-id": ""}, b"{}", "it has no id"),
        ({**BINARY, "ce-specversion": "0.3"}, b"{}", "specversion must be 1.0"),
        (BINARY, b"{", "data of application/json must be JSON"),
        ({"Content-Type": STRUCTURED}, b"{", "must be JSON"),
        ({"Content-Type": STRUCTURED}, b"[]", "must be an object"),
        ({"Content-Type": STRUCTURED}, b'{"specversion": "1.0"}', "it has no id, source, type"),
        (
            {"Content-Type": STRUCTURED},
            json.dumps({**EVENT, "data_base64": "AP8"}).encode(),
            "data_base64 is no base64",
        ),
        ({"Content-Type": BATCH}, b"{}", "must be a JSON array"),
    ],
)
async def test_what_is_no_event_is_refused(
    tmp_path: Path, headers: dict[str, str], body: bytes, detail: str
) -> None:
    async with sent(tmp_path, "shows", body, headers) as answer:
        problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["code"]) == (400, "bad-request")
    assert detail in problem["detail"]


@pytest.mark.parametrize(
    ("wanted", "status", "body"), [("nothing", 204, b""), ("text", 200, b"taken")]
)
async def test_other_results_are_answered_as_raw(
    tmp_path: Path, wanted: str, status: int, body: bytes
) -> None:
    async with sent(tmp_path, "replies", json.dumps(wanted).encode(), BINARY) as answer:
        assert (answer.status, await answer.read()) == (status, body)


@pytest.mark.parametrize(
    ("wanted", "attributes", "data"),
    [
        ("same", EVENT, "same"),
        (
            "dict",
            {
                "id": "8",
                "source": "s",
                "subject": "é",
                "type": "order.sent",
                "specversion": "1.0",
                "time": "2027-01-31T00:00:00+00:00",
                "first": "true",
                "datacontenttype": "application/json",
            },
            {"a": 1},
        ),
        (
            "bytes",
            {
                "id": "8",
                "source": "s",
                "type": "t",
                "specversion": "1.0",
                "datacontenttype": "application/octet-stream",
            },
            b"x",
        ),
    ],
)
async def test_an_event_is_answered_in_binary_mode(
    tmp_path: Path, wanted: str, attributes: dict[str, str], data: Any
) -> None:
    async with sent(tmp_path, "replies", json.dumps(wanted).encode(), BINARY) as answer:
        [event] = from_http(answer.headers, await answer.read())
    assert answer.status == 200
    assert {name: str(value) for name, value in event.attributes.items()} == attributes
    assert event.data == data


async def test_an_event_without_data_is_answered_without_a_body(tmp_path: Path) -> None:
    async with sent(tmp_path, "replies", b'"no data"', BINARY) as answer:
        assert (answer.status, answer.headers["ce-id"], await answer.read()) == (200, "8", b"")
