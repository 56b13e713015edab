"""The S3 store that a `storage` source's Secret leads to, with that Secret's keys and no others.

Where there is no Secret the store and its credentials are the installation's, in the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from obstore.store import S3Store

from torpor.resources.trigger import Trigger
from torpor.triggers.base import Secrets, SourceMisconfigured

if TYPE_CHECKING:
    from obstore.store import RetryConfig

RETRIES: Final[RetryConfig] = {"max_retries": 2, "retry_timeout": timedelta(seconds=15)}
_ENDPOINT: Final = "AWS_ENDPOINT_URL"
_REGION: Final = "AWS_REGION"
_KEY_ID: Final = "AWS_ACCESS_KEY_ID"
_KEY: Final = "AWS_SECRET_ACCESS_KEY"
_TOKEN: Final = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of a field
_HOME: Final = "us-east-1"


@dataclass(frozen=True, slots=True)
class StorageAccess:
    """Where a store is and who asks."""

    endpoint: str
    region: str
    key_id: str
    key: str = field(repr=False)
    token: str | None = field(repr=False)

    def bucket(self, name: str) -> S3Store:
        """Return a bucket; nothing of the environment is used for it."""
        return S3Store(
            name,
            endpoint=self.endpoint,
            region=self.region,
            client_options={"allow_http": self.endpoint.startswith("http://")},
            retry_config=RETRIES,
            credential_provider=self._credentials,
        )

    def _credentials(self) -> Any:
        return {
            "access_key_id": self.key_id,
            "secret_access_key": self.key,
            "token": self.token,
            "expires_at": None,
        }


async def read_access(trigger: Trigger, secrets: Secrets, name: str) -> StorageAccess:
    """Return what a Secret of the Trigger's namespace says; SourceMisconfigured names the field."""
    found = await secrets.read(trigger.key.namespace, name)
    region = _text(name, found, _REGION) or _HOME
    return StorageAccess(
        endpoint=_endpoint(name, found) or f"https://s3.{region}.amazonaws.com",
        region=region,
        key_id=_required(name, found, _KEY_ID),
        key=_required(name, found, _KEY),
        token=_text(name, found, _TOKEN) or None,
    )


def _endpoint(name: str, found: Mapping[str, bytes]) -> str:
    text = _text(name, found, _ENDPOINT)
    if text and not text.startswith(("http://", "https://")):
        raise SourceMisconfigured(
            f"the Secret {name}: {_ENDPOINT} must begin with http:// or https://"
        )
    return text


def _required(name: str, found: Mapping[str, bytes], member: str) -> str:
    text = _text(name, found, member)
    if not text:
        raise SourceMisconfigured(f"the Secret {name} has no {member}: add it")
    return text


def _text(name: str, found: Mapping[str, bytes], member: str) -> str:
    try:
        return found.get(member, b"").decode().strip()
    except UnicodeDecodeError:
        raise SourceMisconfigured(f"the Secret {name}: {member} must be UTF-8") from None
