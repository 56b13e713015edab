"""A real Kafka broker for a test: one node, from the jars that `pom.xml` names."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.servers.certificates import Certificates, certificates
from tests.support.servers.daemon import Daemon, free_port

JARS = Path.home() / ".cache" / "torpor-tests" / "kafka-4.1.0"
POM = Path(__file__).parent / "pom.xml"
_HEAP = ("-Xmx384m", "-Xms128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required"
_CLUSTER = "dG9ycG9yLXRlc3QtMDAwMQ"


def available() -> bool:
    """Return whether there are the jars, a Java, and openssl for the certificates."""
    return any(JARS.glob("kafka_*.jar")) and shutil.which("java") is not None


needs_kafka = pytest.mark.skipif(not available(), reason="no Kafka on this machine")


@dataclass(frozen=True, slots=True)
class Kafka:
    """A broker with a listener of each kind; the user is torpor, password right.

    The third asks for a client's certificate, the fourth for the user by SCRAM besides.
    """

    daemon: Daemon
    plain_port: int
    sasl_port: int
    tls_port: int
    scram_port: int
    certificates: Certificates

    @property
    def address(self) -> str:
        """Where it is reached without any credentials."""
        return f"127.0.0.1:{self.plain_port}"


def install() -> None:
    """Fetch the jars with Maven, unless they are there."""
    if any(JARS.glob("kafka_*.jar")):
        return
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={JARS}"]
    subprocess.run(["mvn", "-q", "-B", "-f", str(POM), *goal], check=True, timeout=600)


@contextlib.asynccontextmanager
async def kafka() -> AsyncIterator[Kafka]:
    """A running broker that makes no topic by itself."""
    with tempfile.TemporaryDirectory(prefix="torpor-test-kafka-") as name:
        folder = Path(name)
        made = certificates(folder)
        ports = [free_port() for _ in range(5)]
        properties = folder / "server.properties"
        properties.write_text(_properties(folder, made, ports))
        java = ["java", *_HEAP, "-cp", f"{JARS}/*"]
        format_it = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(properties)]
        for mechanism in _SCRAM:
            format_it += ["--add-scram", f"{mechanism}=[name=torpor,password=right]"]
        await asyncio.to_thread(
            subprocess.run, [*java, *format_it], check=True, capture_output=True, timeout=60
        )
        argv = [*java, "kafka.Kafka", str(properties)]
        server = Daemon(argv, folder, ports[0], ready_seconds=60.0)
        await server.start()
        try:
            yield Kafka(server, ports[0], ports[1], ports[2], ports[3], made)
        finally:
            await server.kill()


def _properties(folder: Path, made: Certificates, ports: list[int]) -> str:
    plain, sasl, tls, scram, controller = ports
    keys = folder / "server-keys.pem"
    keys.write_bytes(made.server_key.read_bytes() + made.server.read_bytes())
    outside = (
        f"PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},"
        f"SSL://localhost:{tls},SASL_SSL://localhost:{scram}"
    )
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    lines = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{outside},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": outside,
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": (
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,"
            "SASL_SSL:SASL_SSL"
        ),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_ssl.sasl.enabled.mechanisms": ",".join(_SCRAM),
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{login} user_torpor="right";',
        **{
            f"listener.name.sasl_ssl.{mechanism.lower()}.sasl.jaas.config": f"{_SCRAM_LOGIN};"
            for mechanism in _SCRAM
        },
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": keys,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": made.ca,
        "ssl.client.auth": "required",
        "log.dirs": folder / "data",
        "log.flush.interval.messages": 1,
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": 1,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        "broker.heartbeat.interval.ms": 300,
        "broker.session.timeout.ms": 1500,
        "controlled.shutdown.enable": "false",
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())
