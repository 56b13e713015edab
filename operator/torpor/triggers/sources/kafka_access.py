"""How Kafka's brokers are reached, and why they refuse."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from aiokafka import errors  # type: ignore[import-untyped]
from aiokafka.conn import create_conn  # type: ignore[import-untyped]

from torpor.triggers.base import SourceMisconfigured
from torpor.triggers.sources.access import Beginning, Credentials, tls_context

ANSWER_MS: Final = 10_000
_REFUSALS: Final = (
    errors.SaslAuthenticationFailed,
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
)
FORBIDDEN: Final = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
)


class Mechanism(StrEnum):
    """How a user says who it is; NONE: not at all."""

    NONE = ""
    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read."""

    brokers: tuple[str, ...]
    topics: tuple[str, ...]
    group: str
    beginning: Beginning
    tls: bool
    mechanism: Mechanism
    secret: str | None

    @property
    def url(self) -> str:
        """The cluster, by its first broker."""
        return f"kafka://{self.brokers[0]}"


def connection_options(reading: Reading, credentials: Credentials) -> dict[str, Any]:
    """Return what aiokafka needs to connect; SourceMisconfigured where something is missing."""
    secured = "SSL" if reading.tls else "PLAINTEXT"
    options: dict[str, Any] = {
        "client_id": "torpor",
        "request_timeout_ms": ANSWER_MS,
        "security_protocol": secured,
        "ssl_context": tls_context(credentials) if reading.tls else None,
    }
    if reading.mechanism is Mechanism.NONE:
        return options
    if not credentials.username or credentials.password is None:
        raise SourceMisconfigured(
            "spec.source.kafka.sasl is set: put username and password into a Secret and name it in "
            "spec.source.kafka.secret"
        )
    return {
        **options,
        "security_protocol": f"SASL_{secured}",
        "sasl_mechanism": reading.mechanism.value,
        "sasl_plain_username": credentials.username,
        "sasl_plain_password": credentials.password,
    }


async def refusal(reading: Reading, options: dict[str, Any]) -> SourceMisconfigured | None:
    """Return why no broker let us in, if a person must see to it.

    aiokafka's consumer says only that it reached none, so each is asked once more here.
    """
    for broker in reading.brokers:
        host, _, port = broker.rpartition(":")
        try:
            connection = await create_conn(host, int(port), **options)
        except _REFUSALS as error:
            text = f"kafka://{broker}: {error}: see to sasl, and to username and password in secret"
            return SourceMisconfigured(text)
        except (OSError, TimeoutError, errors.KafkaError):
            continue  # away: not refused
        connection.close()
    return None
