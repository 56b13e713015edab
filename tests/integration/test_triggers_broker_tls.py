"""The broker over TLS, with a nats-server that asks for our certificate."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.servers.certificates import Certificates, certificates
from tests.support.servers.daemon import Daemon, free_port
from tests.support.servers.nats import needs_nats
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import BrokerSettings, connected
from torpor.triggers.broker.embedded import find_program
from torpor.triggers.broker.publishing import Publisher
from torpor.triggers.broker.pulling import PullConsumer
from torpor.triggers.broker.streams import ConsumerSpec, Streams

pytestmark = needs_nats


@contextlib.asynccontextmanager
async def secured(folder: Path, made: Certificates) -> AsyncIterator[int]:
    """A nats-server that speaks TLS alone, by its port."""
    port = free_port()
    tls = {
        "cert_file": str(made.server),
        "key_file": str(made.server_key),
        "ca_file": str(made.ca),
        "verify": True,
    }
    configuration = {
        "listen": f"127.0.0.1:{port}",
        "jetstream": {"store_dir": str(folder / "data")},
        "tls": tls,
    }
    place = folder / "nats.json"
    place.write_text(json.dumps(configuration))
    server = Daemon([str(find_program()), "-c", str(place)], folder, port)
    await server.start()
    try:
        yield port
    finally:
        await server.kill()


async def test_the_broker_lets_in_who_has_a_certificate_of_its_authority(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    async with secured(tmp_path, made) as port:
        strange = BrokerSettings(servers=(f"tls://localhost:{port}",))
        nameless = replace(strange, ca_file=str(made.ca))
        known = replace(nameless, certificate_file=str(made.client), key_file=str(made.client_key))
        for settings in (strange, nameless):
            async with connected(settings) as connection:
                with pytest.raises(BrokerAway, match="the broker is away"):
                    await connection.link(1.0)
        async with connected(known) as connection:
            streams = Streams(connection)
            stream = await streams.ensure_queue("shop", "jobs")
            await Publisher(connection).publish(names.queue_subject("shop", "jobs"), b"x")
            consumer = PullConsumer(connection, streams, ConsumerSpec(stream, "test", ">"))
            (message,) = await consumer.fetch(1, 10)
    assert message.data == b"x"
