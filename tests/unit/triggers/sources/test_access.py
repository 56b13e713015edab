"""Addresses and Secrets of sources: what is refused, and that no secret is repeated."""

from __future__ import annotations

import ssl

import pytest

from tests.support.source_rig import GivenSecrets, trigger
from torpor.errors import InvalidResource
from torpor.resources.fields import Fields
from torpor.triggers.base import SourceMisconfigured
from torpor.triggers.sources.access import (
    Address,
    Credentials,
    group_of,
    read_address,
    read_credentials,
    tls_context,
)

PORTS = {"amqp": 5672, "amqps": 5671}


def address(url: str) -> Address:
    return read_address(Fields({"url": url}, "spec.source.rabbitmq"), PORTS)


def test_an_address_has_the_usual_port_and_a_decoded_path() -> None:
    assert address("amqps://host/a%2Fb") == Address("amqps", "host", 5671, "a/b")
    assert address("amqp://[::1]:7/").url == "amqp://[::1]:7"


@pytest.mark.parametrize(
    "url",
    [
        "amqp://me:hunter2@host",
        "amqp://hunter2@host",
        "amqp://host?password=hunter2",
        "amqp://host/#hunter2",
        "http://host/hunter2",
        "amqp://:hunter2",
        "amqp://",
    ],
)
def test_a_bad_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        address(url)
    assert "hunter2" not in str(refused.value)


async def test_a_secret_is_read_and_never_shown() -> None:
    of = trigger({"http": {}})
    secrets = GivenSecrets({"s": {"username": b"me", "password": b"hunter2", "ca.crt": b"PEM"}})
    found = await read_credentials(of, secrets, "s")
    assert (found.username, found.password, found.ca) == ("me", "hunter2", b"PEM")
    assert "hunter2" not in repr(found)
    assert await read_credentials(of, secrets, None) == Credentials()


@pytest.mark.parametrize(
    ("secret", "reason"),
    [({"password": b"\xff"}, "UTF-8"), ({"tls.crt": b"x"}, "belong together")],
)
async def test_a_broken_secret_says_what_is_wrong(secret: dict[str, bytes], reason: str) -> None:
    with pytest.raises(SourceMisconfigured, match=reason):
        await read_credentials(trigger({"http": {}}), GivenSecrets({"s": secret}), "s")


def test_a_tls_context_checks_names_and_refuses_what_is_no_pem() -> None:
    context = tls_context(Credentials())
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    for bad in (Credentials(ca=b"x"), Credentials(certificate=b"x", key=b"y")):
        with pytest.raises(SourceMisconfigured, match="PEM"):
            tls_context(bad)


def test_the_group_is_the_triggers_unless_it_is_named() -> None:
    of = trigger({"http": {}})
    assert group_of(Fields({}, "x"), of) == "torpor.shop.orders"
    assert group_of(Fields({"group": "mine"}, "x"), of) == "mine"
