"""Examples of Triggers as their reader runs them, with real servers behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import aiomqtt
import asyncpg
import pytest
import redis.asyncio

from tests.integration.test_dev_session import ended, start
from tests.support.postgres import fresh_database, needs_postgres
from tests.support.servers.mosquitto import mosquitto, needs_mosquitto
from tests.support.servers.nats import needs_nats
from tests.support.servers.rabbitmq import needs_rabbitmq, rabbitmq
from tests.support.servers.redis import needs_redis, redis_server

pytestmark = needs_nats
SLOTS = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "triggers"


@pytest.fixture
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(place))
    return place


@dataclass(frozen=True)
class Example:
    """An example that is served from a copy."""

    folder: Path
    state: Path

    def keep_function_only(self) -> None:
        """Take the Trigger and its Secret out of the folder."""
        [file] = self.folder.glob("*.yaml")
        gone = ("kind: Trigger\n", "kind: Secret\n")
        documents = file.read_text().split("---\n")
        kept = [text for text in documents if not any(kind in text for kind in gone)]
        file.write_text("---\n".join(kept))

    def bucket(self, name: str) -> Path:
        [found] = self.state.rglob(f"objects/{name}")
        return found

    async def logged(self, text: str) -> None:
        """Wait until a function wrote a line with the text."""
        async with asyncio.timeout(30):
            while not any(text in file.read_text() for file in self.state.rglob("logs/*")):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def served(name: str, state: Path, **instead: str) -> AsyncIterator[Example]:
    """Serve a copy of an example, with these words in place of those; all sources are read."""
    folder = state / name
    shutil.copytree(EXAMPLES / name, folder)
    file = folder / f"{name}.yaml"
    text = file.read_text()
    for word, other in instead.items():
        assert word in text
        text = text.replace(word, other)
    file.write_text(text)
    process = await start(folder)
    async with ended(process), asyncio.timeout(60):
        await _subscribed(process, text.count("kind: Trigger\n"))
        yield Example(folder, state)
        process.send_signal(signal.SIGTERM)
        await process.communicate()
        assert process.returncode == 0


async def _subscribed(process: asyncio.subprocess.Process, count: int) -> None:
    assert process.stdout
    seen: set[str] = set()
    while len(seen) < count:
        line = (await process.stdout.readline()).decode()
        print(line, end="")
        assert line, "torpor dev ended"
        if "trigger Subscribed" in line:
            seen.add(line.split()[0])


async def test_schedule(state: Path) -> None:
    async with served("schedule", state) as example:
        await example.logged("heartbeat of 20")


async def test_storage(state: Path) -> None:
    async with served("storage", state) as example:
        place = example.bucket("photos") / "incoming"
        place.mkdir()
        (place / "cat.jpg").write_bytes(b"picture")
        await example.logged("incoming/cat.jpg was created (7 bytes)")


@needs_redis
async def test_redis(state: Path) -> None:
    async with redis_server() as server, served("redis", state, **{"6379": f"{server.port}"}) as it:
        client = redis.asyncio.Redis(port=server.port)
        for number in range(3):
            await client.xadd("clicks", {"page": "/cart", "visitor": f"v-{number}"})
        await client.aclose()
        await it.logged("clicks, first of /cart")


@needs_mosquitto
async def test_mqtt(state: Path) -> None:
    users = {"torpor": "change-me"}
    async with (
        mosquitto(users=users) as server,
        served("mqtt", state, **{":1883": f":{server.port}"}) as example,
        aiomqtt.Client("127.0.0.1", server.port, username="torpor", password="change-me") as client,
    ):
        await client.publish("plant/press-4/temperature", b'{"celsius": 92}', qos=1)
        await example.logged("plant/press-4/temperature: 92 degrees")


@needs_rabbitmq
async def test_rabbitmq(state: Path) -> None:
    async with rabbitmq() as server:
        url = f"amqp://guest:guest@127.0.0.1:{server.port}/"
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            await channel.declare_queue("invoices", durable=True)
            instead = {
                "localhost:5672/shop": f"127.0.0.1:{server.port}",
                "username: torpor": "username: guest",
                "change-me": "guest",
            }
            async with served("rabbitmq", state, **instead) as example:
                message = aio_pika.Message(b'{"id": 7}')
                await channel.default_exchange.publish(message, "invoices")
                await example.logged("invoice for order 7")


@needs_postgres
async def test_postgres_and_its_slot_goes_with_the_trigger(state: Path) -> None:
    dsn = "postgresql://torpor:change-me@localhost:5432/shop"
    async with fresh_database() as database:
        app = await asyncpg.connect(database)
        await app.execute("CREATE TABLE orders (id bigint PRIMARY KEY, status text, total numeric)")
        await app.execute("ALTER TABLE orders REPLICA IDENTITY FULL")
        async with served("postgres", state, **{dsn: database}) as example:
            await app.execute("INSERT INTO orders VALUES (7, 'new', 12.5)")
            await app.execute("UPDATE orders SET status = 'paid'")
            await example.logged("order 7: 12.5 paid")
            example.keep_function_only()
            async with asyncio.timeout(30):
                while await app.fetchval(SLOTS):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        await app.close()


async def test_queue(state: Path) -> None:
    async with served("queue", state) as example:
        [note] = (state / "torpor" / "dev").glob(".events-*.json")
        port = note.name.removeprefix(".events-").removesuffix(".json")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "torpor.cli.main", "publish", "thumbnails", "--queue"),
            *("-d", '{"image": "cat.png"}'),
            env={**os.environ, "TORPOR_EVENTS": f"http://127.0.0.1:{port}"},
        )
        async with ended(process):
            assert await process.wait() == 0
        await example.logged("made cat.png")
