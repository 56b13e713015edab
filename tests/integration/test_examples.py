"""The examples of patterns keep their promises, all in one folder that `torpor dev` serves.

All was killed once, while a stream of clicks was on its way, and serves again: what was in flight
comes again half a minute later, so the stream's test is the last one.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession
from yarl import URL

from tests.support.examples_rig import (
    EXAMPLES,
    WORK_SECONDS,
    Session,
    copied,
    serving,
    state_folder,
)
from tests.support.postgres import needs_postgres
from tests.support.servers.nats import needs_nats
from torpor.resources.fields import Fields
from torpor.triggers.sources.timetable import read_timetable

pytestmark = [needs_postgres, needs_nats]
SECRET = b"change-me"
NIGHTLY = "cron: 30 3 * * *\n      timeZone: Europe/Berlin"


USERS: Mapping[str, Mapping[str, str]] = {
    "ada": {"country": "GB"},
    "bo": {"country": "SE"},
    "x": {},
}
CLICKS = 20
CLICK_SECONDS = 0.2
REDELIVERY_SECONDS = 30.0
"""After so long JetStream gives what a dead dispatcher had to another one."""


def save(folder: Path) -> None:
    """Write the examples, with short times in place of long ones."""
    copied(folder, "order-workflow", {"IntervalSeconds: 300": "IntervalSeconds: 1"})
    copied(folder, "saga")
    copied(folder, "image-fan-out")
    copied(folder, "payment-webhook")
    slow = f'    - {{ name: PAUSE_SECONDS, value: "{CLICK_SECONDS}" }}\n  envFrom:'
    copied(folder, "streaming-enrichment", {"  envFrom:": slow, "size: 10": "size: 3"})
    copied(folder, "daily-cleanup", {NIGHTLY: "every: 1s"})
    often = {
        "every: 30s": "every: 1s",
        'value: "60"': 'value: "2"',
        "maxSeconds: 30": "maxSeconds: 1",
    }
    copied(folder, "stale-reset", often)
    copied(folder, "idempotent-handler")
    copied(folder, "edge-function")


@dataclass(frozen=True)
class Cut:
    """The session that serves again, and how many clicks were stored when all was killed."""

    dev: Session
    stored: int


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cut]:
    folder = tmp_path_factory.mktemp("examples")
    save(folder)
    numbers = range(1, CLICKS + 1)
    clicks = [{"user": user, "n": number, "page": "/tea"} for number in numbers for user in USERS]
    with state_folder() as state:
        with serving(folder, state) as dev:
            dev.publish("clicks", "click", *clicks)
            asyncio.run(dev.until(lambda: _count(dev) >= CLICKS))
            dev.kill()
            before = _count(dev)
        with serving(folder, state) as dev:
            yield Cut(dev, before)


@pytest.fixture
def dev(cut: Cut) -> Session:
    return cut.dev


async def call(client: Any, name: str, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = await asyncio.to_thread(
        functools.partial(getattr(client, name), **arguments)
    )
    return found


class Machines:
    """The execution API of the session."""

    def __init__(self, dev: Session) -> None:
        self._client = dev.client("stepfunctions")

    async def start(self, workflow: str, data: Any) -> str:
        machines = (await call(self._client, "list_state_machines"))["stateMachines"]
        [arn] = [
            each["stateMachineArn"] for each in machines if each["name"] == f"default.{workflow}"
        ]
        found = await call(
            self._client, "start_execution", stateMachineArn=arn, input=json.dumps(data)
        )
        return str(found["executionArn"])

    async def ended(self, arn: str) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while True:
                found = await call(self._client, "describe_execution", executionArn=arn)
                if found["status"] != "RUNNING":
                    return found
                await asyncio.sleep(0.1)

    async def events(self, arn: str) -> list[dict[str, Any]]:
        found = await call(self._client, "get_execution_history", executionArn=arn, maxResults=1000)
        return list(found["events"])

    async def entered(self, arn: str) -> list[str]:
        details = [each.get("stateEnteredEventDetails") for each in await self.events(arn)]
        return [each["name"] for each in details if each]

    async def retry_of(self, error: str, attempt: int) -> tuple[str, int | None]:
        """What the order's definition as it is does about a failed charge."""
        documents = yaml.safe_load_all((EXAMPLES / "order-workflow" / "order.yaml").read_text())
        definition = next(each for each in documents if each["kind"] == "Workflow")
        state = definition["spec"]["definition"]["States"]["ChargePayment"]
        found = await call(
            self._client,
            "test_state",
            definition=json.dumps(state),
            roleArn="arn:aws:iam::000000000000:role/any",
            input='{"id": "o-1", "items": ["tea"]}',
            mock={"errorOutput": {"error": error, "cause": "none"}},
            stateConfiguration={"retrierRetryCount": attempt},
            inspectionLevel="DEBUG",
        )
        details = found["inspectionData"]["errorDetails"]
        return found["status"], details.get("retryBackoffIntervalSeconds")


# order-workflow


async def test_an_unreachable_bank_is_asked_each_second_and_an_unclear_charge_seldom(
    dev: Session,
) -> None:
    machines = Machines(dev)
    assert await machines.retry_of("Unreachable", 9) == ("RETRIABLE", 1)
    assert await machines.retry_of("Unreachable", 10) == ("CAUGHT_ERROR", None)
    assert await machines.retry_of("ChargeUnclear", 2) == ("RETRIABLE", 300)
    assert await machines.retry_of("ChargeUnclear", 3) == ("CAUGHT_ERROR", None)
    assert await machines.retry_of("PaymentDeclined", 0) == ("CAUGHT_ERROR", None)


ORDERS = {
    "unreachable": (["Unreachable"] * 4, "SUCCEEDED", {"Unreachable": 4}),
    "both": (
        ["ChargeUnclear"] * 3 + ["Unreachable"],
        "SUCCEEDED",
        {"ChargeUnclear": 3, "Unreachable": 1},
    ),
    "unclear": (["ChargeUnclear"] * 4, "FAILED", {"ChargeUnclear": 4}),
    "declined": (["PaymentDeclined"], "FAILED", {"PaymentDeclined": 1}),
}
"""How charging fails, how the order ends (1 s in place of 5 minutes), and which failures it had."""


async def test_each_error_has_retries_of_its_own(dev: Session) -> None:
    machines = Machines(dev)
    arns = {
        name: await machines.start(
            "order", {"id": name, "items": ["tea"], "fails": {"charge": failures}}
        )
        for name, (failures, _, _) in ORDERS.items()
    }
    for name, (_, status, failed) in ORDERS.items():
        assert ((await machines.ended(arns[name]))["status"], name) == (status, name)
        details = [
            each[kind]["error"]
            for each in await machines.events(arns[name])
            for kind in ("lambdaFunctionFailedEventDetails", "taskFailedEventDetails")
            if kind in each
        ]
        assert Counter(details) == failed
        released = "ReleaseInventory" in await machines.entered(arns[name])
        assert released == (status == "FAILED")


# saga


async def test_what_was_booked_is_given_back_in_reverse_order(dev: Session) -> None:
    machines = Machines(dev)
    arn = await machines.start("trip", {"trip": "t1", "soldOut": ["car"]})
    assert (await machines.ended(arn))["error"] == "NotBooked"
    entered = await machines.entered(arn)
    assert entered == [
        "BookFlight",
        "BookHotel",
        "BookCar",
        "CancelHotel",
        "CancelFlight",
        "NotBooked",
    ]


# image-fan-out


def image(number: int) -> dict[str, str]:
    return {"id": f"i-{number}", "image": "P2 2 2 255 0 100 100 200"}


async def test_the_last_worker_makes_the_album_once_though_events_come_twice(dev: Session) -> None:
    dev.publish(
        "images",
        "image.uploaded",
        *(image(number) for number in range(8)),
        *(image(number) for number in range(8)),
    )
    await dev.until(lambda: len(dev.objects("images", "albums/*.json")) == 8)
    for file in dev.objects("images", "albums/*.json"):
        facts = {"width": 2, "height": 2}
        assert json.loads(file.read_text()) == {
            "thumbnail": [[0, 100]],
            "facts": facts,
            "colour": 100,
        }
    await dev.until(lambda: len(_made(dev)) == 8 * 3 * 2)
    assert Counter(_made(dev))["made"] == 8


def _made(dev: Session) -> list[str]:
    """How each call of a worker found the album: waits, made, or was made."""
    functions = ("image-thumbnail", "image-facts", "image-colour")
    lines = [json.loads(line)["msg"] for name in functions for line in dev.logged(name)]
    return [line.rpartition(", album ")[2] for line in lines if ", album " in line]


# payment-webhook


def signed(body: bytes, secret: bytes = SECRET, age_seconds: int = 0) -> dict[str, str]:
    moment = str(int(time.time()) - age_seconds)
    found = hmac.new(secret, moment.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"Bank-Signature": f"t={moment},v1={found}"}


async def test_a_payment_waits_for_the_bank_and_for_nobody_else(dev: Session) -> None:
    machines = Machines(dev)
    body = b'{"payment": "p-1", "status": "paid"}'
    arn = await machines.start("payment", {"payment": "p-1", "amount": 100})
    await dev.until(lambda: dev.objects("payments", "tokens/p-1"))
    await dev.until(lambda: any("replicas=1/1" in line for line in _told(dev, "payment-ask")))
    functions = ("payment-ask", "payment-webhook")
    await dev.until(lambda: all("replicas=0/0" in _told(dev, name)[-1] for name in functions))

    async def post(headers: dict[str, str], body: bytes = body) -> int:
        url = f"{dev.gateway}/webhooks/bank"
        async with (
            ClientSession() as client,
            client.post(url, data=body, headers=headers) as answer,
        ):
            return answer.status

    assert await post({}) == 401
    assert await post(signed(body, b"guessed")) == 401
    assert await post(signed(body, age_seconds=400)) == 401
    assert await post(signed(body), body.replace(b"paid", b"void")) == 401
    other = body.replace(b"p-1", b"p-2")
    assert await post(signed(other), other) == 404
    assert await post(signed(body)) == 200
    assert (await machines.ended(arn))["status"] == "SUCCEEDED"
    assert await post(signed(body)) == 409


def _told(dev: Session, function: str) -> list[str]:
    """What was printed of a function's instances, the latest last."""
    start = f"default/{function} "
    return [line for line in dev.said() if line.startswith(start) and "replicas=" in line]


# daily-cleanup


def test_the_cleanup_is_at_half_past_three_in_berlin() -> None:
    documents = yaml.safe_load_all((EXAMPLES / "daily-cleanup" / "cleanup.yaml").read_text())
    [schedule] = [
        each["spec"]["source"]["schedule"] for each in documents if each["kind"] == "Trigger"
    ]
    times = read_timetable(Fields(schedule, "schedule")).times(1_798_750_000.0)
    found = [time.strftime("%Y-%m-%d %H:%M", time.gmtime(next(times))) for _ in range(2)]
    assert found == ["2027-01-01 02:30", "2027-01-02 02:30"]


async def test_what_has_expired_is_removed_and_the_rest_stays(dev: Session) -> None:
    items = dev.bucket("items") / "items"
    items.mkdir()
    (items / "stays.json").write_text(json.dumps({"ttl": time.time() + 3600}))
    (items / "forever.json").write_text("{}")
    for number in range(3):
        _whole(items / f"gone-{number}.json", json.dumps({"ttl": time.time() - 1}))
    await dev.until(lambda: not list(items.glob("gone-*.json")))
    assert sorted(file.name for file in items.iterdir()) == ["forever.json", "stays.json"]


def _whole(file: Path, text: str) -> None:
    """Write a file so that it is never seen half."""
    beside = file.with_suffix(".part")
    beside.write_text(text)
    beside.rename(file)


# stale-reset


async def test_a_job_whose_worker_died_is_done_after_its_mark_is_reset(dev: Session) -> None:
    sqs = dev.client("sqs")
    url = (await call(sqs, "create_queue", QueueName="reports"))["QueueUrl"]
    await call(sqs, "send_message", QueueUrl=url, MessageBody='{"id": "r-1", "dies": true}')
    await dev.until(lambda: dev.objects("reports", "running/r-1"))
    assert dev.objects("reports", "done/*") == []
    await dev.until(lambda: dev.objects("reports", "done/r-1"))
    assert dev.objects("reports", "running/*") == []
    assert any("reset running/r-1" in line for line in dev.logged("report-reset"))


# idempotent-handler


async def test_a_duplicate_is_kept_away_and_would_do_no_harm(dev: Session) -> None:
    orders = [{"orderId": f"o-{number}", "items": ["tea"]} for number in (1, 1, 2, 1, 3)]
    for order in orders:  # when a later one is there, those before it were seen to
        dev.publish("orders", "order.paid", order)
        place = f"shipments/{order['orderId']}.json"
        await dev.until(functools.partial(dev.objects, "shipments", place))
    calls = Counter(json.loads(line)["msg"] for line in dev.logged("ship") if "called for" in line)
    assert calls == {"called for o-1": 1, "called for o-2": 1, "called for o-3": 1}
    url = f"{dev.gateway}/function/default/ship/"
    async with ClientSession() as client:
        for key, status in (("o-1", "duplicate"), ("o-4", "processed"), ("o-4", "duplicate")):
            body = {"orderId": key, "items": ["coffee"]}
            async with client.post(url, json=body) as answer:
                assert (await answer.json()) == {"status": status}
    [file] = dev.objects("shipments", "shipments/o-1.json")
    assert json.loads(file.read_text()) == ["tea"]


# edge-function


def token(secret: bytes = SECRET, alg: str = "HS256", **claims: Any) -> dict[str, str]:
    whole = {"sub": "ada", "aud": "shop", "exp": time.time() + 60, **claims}
    parts = [_base64url(json.dumps(each).encode()) for each in ({"alg": alg}, whole)]
    signature = hmac.new(secret, ".".join(parts).encode(), hashlib.sha256).digest()
    return {"Authorization": f"Bearer {'.'.join(parts)}.{_base64url(signature)}"}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


FORGED = {
    "none": {},
    "another key": token(b"guessed"),
    "no algorithm": token(alg="none"),
    "over": token(exp=time.time() - 1),
    "not yet": token(nbf=time.time() + 60),
    "for others": token(aud="bank"),
    "no times": token(exp="never"),
    "no token": {"Authorization": "Bearer a.b.c"},
}


async def test_the_edge_refuses_in_the_callers_language(dev: Session) -> None:
    async with ClientSession() as client:
        for name, headers in FORGED.items():
            wanted = {**headers, "Accept-Language": "es, fr;q=0.5, de;q=0.8"}
            async with client.get(f"{dev.gateway}/shop/products", headers=wanted) as answer:
                assert (answer.status, name) == (401, name)
                assert answer.headers["Content-Language"] == "de"
                assert await answer.text() == "Bitte anmelden."


async def test_the_edge_rewrites_and_gives_each_visitor_the_same_page(dev: Session) -> None:
    async def get(path: str, user: str = "ada") -> tuple[dict[str, str], str]:
        url = f"{dev.gateway}/shop{path}"
        async with ClientSession() as client, client.get(url, headers=token(sub=user)) as answer:
            assert answer.status == 200
            found: dict[str, str] = json.loads(await answer.text())
            return found, answer.headers["Variant"]

    found, _ = await get("/catalogue/green tea?size=2")
    assert found == {"page": "/products/green tea", "user": "ada", "size": "2"}
    seen = {user: await get("/prices", user) for user in ("ada", "bo", "chen", "dee", "eve", "fay")}
    for user, (found, variant) in seen.items():
        assert found == {"page": f"/prices-{variant}", "user": user}
    assert {variant for _, variant in seen.values()} == {"a", "b"}
    assert {user: await get("/prices", user) for user in seen} == seen


async def test_no_path_leads_out_of_the_shop(dev: Session) -> None:
    url = URL(f"{dev.gateway}/shop/%2e%2e/ship/", encoded=True)
    async with ClientSession() as client, client.get(url, headers=token()) as answer:
        assert (answer.status, await answer.text()) == (404, "no such page")


# streaming-enrichment


async def test_a_stream_that_was_cut_is_stored_whole_in_order_and_once(cut: Cut) -> None:
    assert CLICKS <= cut.stored < CLICKS * len(USERS), "it was cut in the middle"
    whole = CLICKS * len(USERS)
    await cut.dev.until(lambda: _count(cut.dev) >= whole, REDELIVERY_SECONDS + WORK_SECONDS)
    assert _stored(cut.dev) == {user: list(range(1, CLICKS + 1)) for user in USERS}
    gaps = [line for line in cut.dev.logged("enrich-clicks") if "do not follow" in line]
    assert gaps == [], "no click came before those that it follows"


def _stored(dev: Session) -> dict[str, list[int]]:
    """The numbers of each user's clicks, in the order of the objects that they are in."""
    found: dict[str, list[int]] = {}
    for user, ref in USERS.items():
        files = dev.objects("clicks", f"enriched/{user}/*.jsonl")
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        assert all(line["ref"] == ref for line in lines)
        found[user] = [line["n"] for line in lines]
    return found


def _count(dev: Session) -> int:
    return sum(map(len, _stored(dev).values()))
