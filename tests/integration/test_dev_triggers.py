"""Triggers in `torpor dev` as their user runs them: files, HTTP, boto3, and kill -9 in between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import redis.asyncio
import yaml
from aiohttp import ClientSession
from botocore.exceptions import ClientError

from tests.integration.test_dev_session import Process, ended, start
from tests.support.postgres import needs_postgres
from tests.support.servers.nats import needs_nats
from tests.support.servers.redis import needs_redis, redis_server

pytestmark = needs_nats

WRITES = """
import json
import pathlib

def handler(event, context):
    with pathlib.Path({file!r}).open("a") as out:
        out.write(json.dumps({{"path": event.path, "type": event.headers.get("ce-type"),
                               "data": event.json() if event.body else None}}) + "\\n")
    return {{"taken": True}}
"""
FUNCTION = {"function": {"name": "writes"}}
_START_SECONDS = 90
"""For a run to say something, or to end: on a machine with much else to do it took half of it."""


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(place))
    return place


@pytest.fixture
def open_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A place that PostgreSQL may enter, which runs as another user where the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="torpor-test-") as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setenv("XDG_STATE_HOME", folder)
        yield


@dataclass(frozen=True)
class Place:
    """A folder that is served, and the file that its Function writes to."""

    folder: Path
    file: Path

    def save(self, name: str, **spec: Any) -> None:
        """Write a Trigger of the Function."""
        body = {
            "apiVersion": "torpor.dev/v1alpha1",
            "kind": "Trigger",
            "metadata": {"name": name},
            "spec": {"target": FUNCTION, **spec},
        }
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(body))

    def calls(self) -> list[dict[str, Any]]:
        if not self.file.exists():
            return []
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    async def called(self, times: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(30):
            while len(self.calls()) < times:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)
        return self.calls()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "served", tmp_path / "calls")
    made.folder.mkdir()
    function = {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "writes"},
        "spec": {
            "runtime": "python3",
            "handler": "main.handler",
            "code": {"inline": WRITES.format(file=str(made.file))},
            "scaling": {"idleSeconds": 1, "windowSeconds": 2, "burstWindowSeconds": 1},
        },
    }
    (made.folder / "function.yaml").write_text(yaml.safe_dump(function))
    return made


@dataclass(frozen=True)
class Dev:
    """A run of `torpor dev`: its gateway, its events API, and where buckets are."""

    process: Process
    gateway: str = ""
    events: str = ""
    objects: Path = Path()

    async def shown(self, text: str) -> str:
        """Wait for a line of its output that has the text."""
        assert self.process.stdout
        async with asyncio.timeout(_START_SECONDS):
            while True:
                line = (await self.process.stdout.readline()).decode()
                print(line, end="")
                assert line, f"torpor dev ended before it said {text}"
                if text in line:
                    return line

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.events,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )

    async def publish(self, detail_type: str, detail: Any) -> None:
        entry = {
            "Source": "test",
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
            "EventBusName": "main",
        }
        client = self.client("events")
        found = await asyncio.to_thread(client.put_events, Entries=[entry])
        assert found["FailedEntryCount"] == 0

    async def torpor(self, *words: str) -> str:
        """Run a command against it; return what it prints."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "torpor.cli.main", *words),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "TORPOR_EVENTS": self.events},
        )
        async with ended(process), asyncio.timeout(30):
            out, _ = await process.communicate()
        print(out.decode())
        assert process.returncode == 0
        return out.decode()

    async def end(self) -> None:
        assert self.process.stdout
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_START_SECONDS):
            output = await self.process.stdout.read()
            await self.process.wait()
        assert self.process.returncode == 0, output.decode()


@asynccontextmanager
async def serving(place: Place, *options: str) -> AsyncIterator[Dev]:
    process = await start(place.folder, *options)
    async with ended(process):
        seen = Dev(process)
        gateway = (await seen.shown("/function/default/writes/")).split()[1]
        events = (await seen.shown("TORPOR_EVENTS=")).strip().rpartition("TORPOR_EVENTS=")[2]
        buckets = (await seen.shown("are folders in ")).strip().rpartition("folders in ")[2]
        yield Dev(process, gateway.partition("/function/")[0], events, Path(buckets))


def _nats_below(place: Path) -> list[int]:
    """The nats-servers whose configuration is below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"-c" in words and any(word.startswith(os.fsencode(place)) for word in words):
                found.append(int(entry.name))
    return found


async def test_a_schedule_wakes_a_function_at_zero(place: Place) -> None:
    place.save("tick", source={"schedule": {"every": "1s", "data": {"n": 1}}})
    async with serving(place) as dev:
        [first, *_] = await place.called(2)
        assert first == {"path": "/", "type": "dev.torpor.schedule", "data": {"n": 1}}
        await dev.end()


async def test_a_bus_by_boto3_filtered_and_sent_on(place: Place) -> None:
    place.save(
        "orders",
        source={"bus": {"name": "main"}},
        filter={"pattern": {"detail": {"total": [{"numeric": [">", 10]}]}}},
        transform={"input": {"order": "${data.id}"}},
    )
    async with serving(place) as dev:
        await dev.publish("order", {"id": "small", "total": 1})
        await dev.publish("order", {"id": "large", "total": 11})
        [call] = await place.called(1)
        assert call["data"] == {"order": "large"}
        await dev.end()


PAYLOADS = {
    "lambda": ("event", {"total": 11}),
    "cloudevents": (
        "[event['type'], event['source'], event.data]",
        ["order", "test", {"total": 11}],
    ),
}
"""What a handler writes that is given another payload, and what that is."""


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_a_handler_is_given_events_as_its_payload_says(place: Place, payload: str) -> None:
    shown, expected = PAYLOADS[payload]
    function = yaml.safe_load((place.folder / "function.yaml").read_text())
    function["spec"]["payload"] = payload
    function["spec"]["code"]["inline"] = (
        "import json, pathlib\n\ndef handler(event, context):\n"
        f"    pathlib.Path({str(place.file)!r}).write_text(json.dumps({shown}))\n"
    )
    (place.folder / "function.yaml").write_text(yaml.safe_dump(function))
    place.save("orders", source={"bus": {"name": "main"}})
    async with serving(place) as dev:
        await dev.publish("order", {"total": 11})
        assert await place.called(1) == [expected]
        await dev.end()


async def test_a_queue_by_boto3(place: Place) -> None:
    place.save("jobs", source={"queue": {"name": "jobs"}})
    async with serving(place) as dev:
        sqs = dev.client("sqs")
        url = (await asyncio.to_thread(sqs.create_queue, QueueName="jobs"))["QueueUrl"]
        await asyncio.to_thread(sqs.send_message, QueueUrl=url, MessageBody='{"job": 1}')
        [call] = await place.called(1)
        assert call["data"] == {"job": 1}
        await dev.end()


async def test_a_file_in_a_bucket(place: Place) -> None:
    place.save("files", source={"storage": {"bucket": "uploads", "pollSeconds": 0.5}})
    async with serving(place) as dev:
        await dev.shown("default/files trigger Subscribed")
        (dev.objects / "uploads" / "a b.txt").write_text("hello")
        [call] = await place.called(1)
        assert (call["type"], call["data"]["key"], call["data"]["size"]) == (
            "dev.torpor.storage.object.created",
            "a b.txt",
            5,
        )
        await dev.end()


async def test_requests_directly_and_with_their_answer_to_be_fetched(place: Place) -> None:
    place.save("web", source={"http": {"path": "/hi", "methods": ["POST"]}})
    place.save("later", source={"http": {"path": "/later", "async": True}})
    async with serving(place) as dev, ClientSession() as client:
        async with client.post(f"{dev.gateway}/hi/there", json=1) as answer:
            assert (answer.status, await answer.json()) == (200, {"taken": True})
        async with client.get(f"{dev.gateway}/hi") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        async with client.post(f"{dev.gateway}/later", json={"n": 2}) as answer:
            assert answer.status == 202
            location = answer.headers["Location"]
        assert [call["path"] for call in await place.called(2)] == ["/there", "/"]
        async with asyncio.timeout(10):
            while True:
                async with client.get(dev.gateway + location) as answer:
                    if answer.status != 202:
                        assert await answer.json() == {"taken": True}
                        break
                await asyncio.sleep(0.05)
        await dev.end()


async def test_the_folder_is_followed(place: Place) -> None:
    bus = {"bus": {"name": "main"}}
    place.save("orders", source=bus, filter={"pattern": {"detail-type": ["one"]}})
    async with serving(place) as dev:
        await dev.publish("two", {"n": 1})
        await dev.publish("one", {"n": 2})
        [call] = await place.called(1)
        assert call["data"] == {"n": 2}
        place.save("orders", source=bus, filter={"pattern": {"detail-type": ["two"]}})
        await _until_other(dev, place, "two", 2)
        (place.folder / "orders.yaml").unlink()
        await dev.shown("default/orders is gone")
        await dev.end()


async def _until_other(dev: Dev, place: Place, detail_type: str, calls: int) -> None:
    """The change takes a moment to be seen: publish until it is."""
    async with asyncio.timeout(20):
        while len(place.calls()) < calls:
            await dev.publish(detail_type, {"n": 3})
            await asyncio.sleep(0.3)


async def test_what_was_not_delivered_is_in_the_next_run_and_nothing_is_left_behind(
    place: Place, state: Path
) -> None:
    bus = {"bus": {"name": "main"}}
    place.save("orders", source=bus, suspend=True)
    async with serving(place) as dev:
        await dev.publish("order", {"id": 7})
        await dev.shown("default/orders trigger Subscribed")
        assert len(_nats_below(state)) == 1
        dev.process.kill()
        await dev.process.wait()
    async with asyncio.timeout(10):
        while _nats_below(state):  # noqa: ASYNC110 - it ends by itself
            await asyncio.sleep(0.05)
    assert place.calls() == []
    place.save("orders", source=bus)
    async with serving(place) as dev:
        [call] = await place.called(1)
        assert call["data"] == {"id": 7}
        await dev.end()
    assert _nats_below(state) == []


async def test_that_a_pause_ends_with_the_run_or_a_change_of_its_file_is_told(place: Place) -> None:
    bus = {"bus": {"name": "main"}}
    place.save("orders", source=bus)
    goes_on = "default/orders was paused and goes on as its file says"
    async with serving(place) as dev:
        assert "suspend: true in its file" in await dev.torpor("trigger", "pause", "orders")
        place.save("orders", source=bus, delivery={"maxAttempts": 2})
        await dev.shown(goes_on)
        await dev.torpor("trigger", "pause", "orders")
        await dev.end()
    process = await start(place.folder)
    async with ended(process):
        again = Dev(process)
        await again.shown(goes_on)
        await again.shown("TORPOR_EVENTS=")
        await again.end()


async def test_secrets_of_the_folder_are_there_before_the_sources_of_an_earlier_run(
    place: Place,
) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "broker"}}
    secret = {**body, "stringData": {"username": "u", "password": "p"}}
    (place.folder / "secret.yaml").write_text(yaml.safe_dump(secret))
    for name in ("a", "b", "c"):
        source = {"url": "amqp://127.0.0.1:1", "queue": "orders", "secret": "broker"}
        place.save(name, source={"rabbitmq": source})
    async with serving(place) as dev:
        await dev.end()
    process = await start(place.folder)
    async with ended(process):
        assert process.stdout
        again = Dev(process)
        said = await again.shown("a Trigger's source is away")
        await again.shown("TORPOR_EVENTS=")
        await again.end()
    assert "amqp://127.0.0.1:1" in said


async def test_what_waits_scales_the_function_out(place: Place) -> None:
    slow = yaml.safe_load((place.folder / "function.yaml").read_text())
    slow["spec"]["code"]["inline"] = (
        "import os, pathlib, time\n\ndef handler(event, context):\n    time.sleep(0.5)\n"
        f"    with pathlib.Path({str(place.file)!r}).open('a') as out:\n"
        "        out.write(f'{os.getpid()}\\n')\n"
    )
    slow["spec"]["scaling"]["concurrency"] = {"limit": 1}
    (place.folder / "function.yaml").write_text(yaml.safe_dump(slow))
    place.save("jobs", source={"queue": {"name": "jobs"}})
    async with serving(place) as dev:
        sqs = dev.client("sqs")
        url = (await asyncio.to_thread(sqs.create_queue, QueueName="jobs"))["QueueUrl"]
        entries = [{"Id": str(number), "MessageBody": str(number)} for number in range(10)]
        for _ in range(2):
            await asyncio.to_thread(sqs.send_message_batch, QueueUrl=url, Entries=entries)
        processes = await place.called(20)
        # What is in flight asks for two or three: it is what waits that asks for the others.
        assert len(set(map(str, processes))) >= 8
        await dev.end()


async def test_an_event_that_ends_its_instance_is_the_only_one_given_up(place: Place) -> None:
    function = yaml.safe_load((place.folder / "function.yaml").read_text())
    function["spec"]["code"]["inline"] = (
        "import os, pathlib, time\n\ndef handler(event, context):\n"
        "    number = event.json()['n']\n    time.sleep(0.2)\n"
        "    if number == 5:\n        os._exit(1)\n    time.sleep(0.2)\n"
        f"    with pathlib.Path({str(place.file)!r}).open('a') as out:\n"
        "        out.write(f'{number}\\n')\n"
    )
    function["spec"]["scaling"]["maxReplicas"] = 1
    (place.folder / "function.yaml").write_text(yaml.safe_dump(function))
    quick = {"maxAttempts": 2, "backoff": {"initialSeconds": 0.2, "maxSeconds": 0.2}}
    place.save("jobs", source={"bus": {"name": "main"}}, delivery=quick)
    async with serving(place) as dev:
        entries = [
            {"Source": "t", "DetailType": "n", "Detail": f'{{"n": {n}}}', "EventBusName": "main"}
            for n in range(10)
        ]
        await asyncio.to_thread(dev.client("events").put_events, Entries=entries)
        await dev.shown("dead-letters=1")
        await place.called(9)
        assert set(map(str, place.calls())) == {str(n) for n in range(10) if n != 5}
        assert (await dev.torpor("dlq", "list", "jobs")).count("default/jobs") == 1
        await dev.end()


async def test_the_api_without_a_trigger(place: Place) -> None:
    async with serving(place, "--events") as dev:
        await dev.publish("order", {})
        await dev.end()


async def test_the_commands_find_it(place: Place) -> None:
    place.save(
        "orders",
        source={"bus": {"name": "main"}},
        filter={"pattern": {"type": ["order"]}},
        target={"function": {"name": "writes", "method": "PUT"}},
        delivery={"maxAttempts": 1},
    )
    refuses = yaml.safe_load((place.folder / "function.yaml").read_text())
    taking = (place.folder / "function.yaml").read_text()
    code = "def handler(event, context): raise RuntimeError('no')"
    refuses["spec"]["code"]["inline"] = code
    (place.folder / "function.yaml").write_text(yaml.safe_dump(refuses))
    async with serving(place) as dev:
        assert "bus      function/writes" in await dev.torpor("trigger", "list")
        event = '{"specversion": "1.0", "id": "1", "source": "/x", "type": "order", "data": 1}'
        assert "it matches: function/writes" in await dev.torpor(
            "trigger", "test", "orders", "-d", event
        )
        await dev.torpor("publish", "main", "--type", "order", "--id", "o-1", "-d", '{"n": 1}')
        await dev.shown("dead-letters=1")
        assert "default/orders   o-1" in await dev.torpor("dlq", "list", "orders")
        (place.folder / "function.yaml").write_text(taking)
        await dev.shown("default/writes changed")
        assert await dev.torpor("dlq", "redrive", "orders") == "1 is delivered again\n"
        assert [call["data"] for call in await place.called(1)] == [{"n": 1}]
        assert "1 event is delivered again, in 1 delivery" in await dev.torpor("replay", "main")
        assert len(await place.called(2)) == 2
        assert "nothing to find fault with" in await dev.torpor("audit")
        await dev.end()


@needs_postgres
@pytest.mark.usefixtures("open_state")
async def test_an_event_starts_a_workflow_once(place: Place) -> None:
    workflow = {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "ship"},
        "spec": {
            "definition": {
                "StartAt": "Write",
                "States": {
                    "Write": {"Type": "Task", "Resource": "arn:aws:lambda:writes", "End": True}
                },
            }
        },
    }
    (place.folder / "ship.yaml").write_text(yaml.safe_dump(workflow))
    place.save("orders", source={"bus": {"name": "main"}}, target={"workflow": {"name": "ship"}})
    async with serving(place) as dev:
        await dev.torpor("publish", "main", "--id", "o-1", "-d", '{"n": 1}')
        await dev.torpor("publish", "main", "--id", "o-1", "-d", '{"n": 1}')
        await dev.shown("default/ship execution")
        [call] = await place.called(1)
        assert (call["data"]["id"], call["data"]["data"]) == ("o-1", {"n": 1})
        await dev.end()
    assert len(place.calls()) == 1


@needs_redis
async def test_a_broker_of_ones_own_with_a_secret_of_the_folder(place: Place) -> None:
    async with redis_server(password="right") as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        source = {"url": url, "stream": "clicks", "secret": "broker", "startAt": "earliest"}
        place.save("clicks", source={"redis": source})
        async with serving(place) as dev:
            await dev.shown("there is no Secret default/broker in the folder")
            secret = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "broker"},
                "stringData": {"password": "right"},
            }
            (place.folder / "secret.yaml").write_text(yaml.safe_dump(secret))
            await dev.shown("default/clicks trigger Subscribed")
            client = redis.asyncio.Redis(port=server.port, password="right")
            await client.xadd("clicks", {"page": "/cart"})
            await client.aclose()
            [call] = await place.called(1)
            assert (call["type"], call["data"]) == ("dev.torpor.redis", {"page": "/cart"})
            await dev.end()


async def test_a_broker_that_is_killed_is_started_again_with_all_that_it_had(
    place: Place, state: Path
) -> None:
    place.save("orders", source={"bus": {"name": "main"}})
    async with serving(place) as dev:
        await dev.publish("order", {"n": 1})
        await place.called(1)
        [pid] = _nats_below(state)
        os.kill(pid, signal.SIGKILL)
        await dev.shown("nats-server ended: it is started again")
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(AssertionError, ClientError):
                    await dev.publish("order", {"n": 2})
                    break
                await asyncio.sleep(0.2)
        assert [call["data"]["n"] for call in await place.called(2)] == [1, 2]
        await dev.end()


async def test_a_second_ctrl_c_waits_for_no_delivery(place: Place, state: Path) -> None:
    slow = yaml.safe_load((place.folder / "function.yaml").read_text())
    slow["spec"]["code"]["inline"] = (
        "import pathlib, time\n\ndef handler(event, context):\n"
        f"    pathlib.Path({str(place.file)!r}).write_text('{{}}\\n')\n    time.sleep(60)\n"
    )
    (place.folder / "function.yaml").write_text(yaml.safe_dump(slow))
    place.save("orders", source={"bus": {"name": "main"}})
    async with serving(place) as dev:
        await dev.publish("order", {"n": 1})
        await place.called(1)
        dev.process.send_signal(signal.SIGINT)
        await dev.shown("Ctrl-C ends at once")
        dev.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            assert await dev.process.wait() == 130
    assert _nats_below(state) == []
