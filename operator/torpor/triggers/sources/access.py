"""How servers that are sources are reached: the address is in the Trigger, the rest in a Secret."""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from torpor.errors import InvalidResource
from torpor.resources.fields import Fields
from torpor.resources.trigger import Trigger
from torpor.triggers.base import Secrets, SourceMisconfigured

_KEY_MODE = 0o600


class Beginning(StrEnum):
    """Where a group that is new to a server begins to read."""

    LATEST = "latest"
    EARLIEST = "earliest"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. `path` is decoded and without its first slash."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def url(self) -> str:
        """The address without the path; what is safe to show, as no secret is ever in it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a Secret holds for a server: all of it may be missing."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: bytes = field(default=b"", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)


def read_address(found: Fields, ports: Mapping[str, int]) -> Address:
    """Return the address in the field `url`; `ports` has each scheme's usual port.

    InvalidResource says what to write, and does not repeat what may be a password.
    """
    text = found.required_text("url")
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        raise InvalidResource("url", "the port must be a number from 1 to 65535") from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        problem = "must hold no user, password or options: put username and password into a Secret"
        raise InvalidResource("url", f"{problem} and name it in the field secret")
    if parts.scheme not in ports or not parts.hostname:
        raise InvalidResource("url", f"must begin with {' or '.join(f'{s}://host' for s in ports)}")
    path = unquote(parts.path.removeprefix("/"))
    return Address(parts.scheme, parts.hostname, port or ports[parts.scheme], path)


def group_of(found: Fields, trigger: Trigger) -> str:
    """Return the name under which all replicas read together."""
    return found.text("group", f"torpor.{trigger.key.namespace}.{trigger.key.name}")


async def read_credentials(trigger: Trigger, secrets: Secrets, name: str | None) -> Credentials:
    """Return what the Secret of the Trigger's namespace holds; SourceMisconfigured."""
    if name is None:
        return Credentials()
    found = await secrets.read(trigger.key.namespace, name)
    certificate, key = found.get("tls.crt", b""), found.get("tls.key", b"")
    if bool(certificate) != bool(key):
        raise SourceMisconfigured(f"the Secret {name}: tls.crt and tls.key belong together")
    return Credentials(
        username=_text(name, found, "username"),
        password=_text(name, found, "password"),
        ca=found.get("ca.crt", b""),
        certificate=certificate,
        key=key,
    )


def tls_context(credentials: Credentials) -> ssl.SSLContext:
    """Return a context that trusts `ca.crt`, else what this machine trusts; SourceMisconfigured."""
    try:
        authorities = credentials.ca.decode("ascii") or None
        context = ssl.create_default_context(cadata=authorities)
        if credentials.certificate:
            _load(context, credentials)
    except (ssl.SSLError, ValueError) as error:
        text = "ca.crt, tls.crt and tls.key of the source's Secret must be PEM and belong together"
        raise SourceMisconfigured(f"{text}: {error}") from None
    return context


def heed_cancellation() -> None:
    """Raise CancelledError if this task is being cancelled.

    Called after a library's connecting: `asyncio.wait_for` in it may swallow a cancellation before
    Python 3.12 (python/cpython#81839), and what follows waits for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def said_by(error: BaseException) -> str:
    """Return what an error says; a timeout says nothing but its name."""
    return str(error) or type(error).__name__


def quieted(logger: str) -> None:
    """Let a client's library say nothing: what fails is told once, by who runs the source."""
    logging.getLogger(logger).setLevel(logging.CRITICAL + 1)


def _load(context: ssl.SSLContext, credentials: Credentials) -> None:
    """OpenSSL reads a certificate from a file only."""
    with tempfile.TemporaryDirectory(prefix="torpor-") as folder:
        pair = Path(folder) / "pair.pem"
        pair.touch(mode=_KEY_MODE)
        pair.write_bytes(credentials.certificate + b"\n" + credentials.key)
        context.load_cert_chain(pair)


def _text(name: str, found: Mapping[str, bytes], member: str) -> str | None:
    value = found.get(member)
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        raise SourceMisconfigured(f"the Secret {name}: {member} must be UTF-8") from None
