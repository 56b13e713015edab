"""The events role's API over a real nats-server, without deliveries."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import boto3
import botocore.config

from tests.support.servers.nats import Broker, broker, until
from torpor.aws.access import Access
from torpor.resources.names import FunctionKey
from torpor.triggers.api.parts import ApiParts, ApiSettings
from torpor.triggers.api.server import ApiServer
from torpor.triggers.broker import names
from torpor.triggers.broker.objects import open_objects
from torpor.triggers.broker.pulling import Message, PullConsumer
from torpor.triggers.broker.streams import ConsumerSpec
from torpor.triggers.definitions import Definitions
from torpor.triggers.hops import Hops
from torpor.triggers.queue_partitions import QueuePartitions
from torpor.triggers.results import Results

OPEN = Access()


@dataclass(frozen=True, slots=True)
class EventsRig:
    """The API at `url`, its broker, and a client."""

    url: str
    at: Broker
    parts: ApiParts
    session: aiohttp.ClientSession

    async def put(self, spec: Mapping[str, Any], name: str = "t", namespace: str = "shop") -> None:
        """Have a Trigger in force, and known."""
        metadata = {"namespace": namespace, "name": name, "uid": f"uid-{name}", "generation": 1}
        await self.parts.definitions.put({"metadata": metadata, "spec": spec}, {})

        async def known() -> bool:
            return FunctionKey(namespace, name) in self.parts.definitions.known

        await until(known)

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Return status, body and headers of the answer to a POST."""
        async with self.session.post(self.url + path, data=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None), dict(answer.headers)

    async def of_bus(self, bus: str, count: int, namespace: str = "shop") -> list[Message]:
        """Return the next messages of a bus."""
        spec = ConsumerSpec(names.bus_stream(namespace, bus), "test", ">")
        return await self._of(spec, count)

    async def of_queue(self, queue: str, count: int, namespace: str = "shop") -> list[Message]:
        """Return the next messages of a queue."""
        spec = ConsumerSpec(names.queue_stream(namespace, queue), "test", ">")
        return await self._of(spec, count)

    async def of_inbox(self, trigger: str, count: int, namespace: str = "shop") -> list[Message]:
        """Return the next messages for a Trigger."""
        subject = names.inbox_filter(namespace, trigger)
        return await self._of(ConsumerSpec(names.INBOX_STREAM, f"test_{trigger}", subject), count)

    async def _of(self, spec: ConsumerSpec, count: int) -> list[Message]:
        consumer = PullConsumer(self.at.connection, self.at.streams, spec)
        found: list[Message] = []
        while len(found) < count:
            some = await consumer.fetch(count - len(found), 10)
            assert some, f"{len(found)} of {count} came"
            for message in some:
                await message.ack()
            found += some
        return found

    def boto(self, service: str, key: str = "id", secret: str = "secret") -> Any:
        """Return a real client of AWS's SDK; its calls block."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )


@contextlib.asynccontextmanager
async def events_api(
    access: Access = OPEN,
    brokered: Callable[[], contextlib.AbstractAsyncContextManager[Broker]] = broker,
    **settings: Any,
) -> AsyncIterator[EventsRig]:
    """A served API."""
    async with brokered() as at, aiohttp.ClientSession() as session:
        definitions = Definitions(at.connection, at.streams, wall=time.time)
        partitions = QueuePartitions()
        definitions.listen(partitions.heed)
        parts = ApiParts(
            connection=at.connection,
            streams=at.streams,
            publisher=at.publisher,
            objects=open_objects(at.connection),
            definitions=definitions,
            partitions=partitions,
            results=Results(at.connection),
            wall=time.time,
            new_id=lambda: str(uuid.uuid4()),
            hops=Hops(None, time.time),
            settings=ApiSettings(access=access, **settings),
        )
        server = ApiServer(parts)
        await server.start("127.0.0.1", 0)
        following = asyncio.create_task(definitions.run(), name="definitions")
        try:
            async with asyncio.timeout(10):
                await definitions.synced.wait()
            yield EventsRig(f"http://127.0.0.1:{server.port}", at, parts, session)
        finally:
            following.cancel()
            await asyncio.wait([following])
            await server.stop()
