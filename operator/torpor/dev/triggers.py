"""The Triggers of a folder, read and refused as the cluster would, and its Secrets for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from torpor.dev.manifests import Manifest
from torpor.expressions.values import json_text
from torpor.resources.http_route import Claim, Claims, claim_of
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import SourceKind, Trigger
from torpor.triggers.base import SourceMisconfigured
from torpor.triggers.wanted import essence, is_direct, read

POLL_SECONDS = 1.0
"""How often buckets are looked at where a Trigger does not say."""
SecretFields = Mapping[tuple[str, str], Mapping[str, bytes]]
"""By namespace and name of a Secret, its fields."""


@dataclass(frozen=True, slots=True)
class LocalTrigger:
    """A Trigger of the folder. `object` is what the events role is told of it."""

    trigger: Trigger
    object: Mapping[str, Any]
    claim: Claim | None

    @property
    def key(self) -> FunctionKey:
        """Its namespace and name."""
        return self.trigger.key

    @property
    def is_direct(self) -> bool:
        """Whether the gateway alone serves it: requests that its Function answers."""
        return is_direct(self.trigger)


class FolderSecrets:
    """Implements `Secrets` over the folder; `fields` are replaced when it changes.

    A Secret that is gone stays until the run ends: with it a Trigger that is gone cleans up.
    """

    def __init__(self, fields: SecretFields) -> None:
        self.fields = fields

    async def read(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """Return the fields of a Secret; SourceMisconfigured when it is not in the folder."""
        found = self.fields.get((namespace, name))
        if found is None:
            raise SourceMisconfigured(f"there is no Secret {namespace}/{name} in the folder")
        return found


def read_triggers(items: Sequence[Manifest]) -> tuple[dict[FunctionKey, LocalTrigger], list[str]]:
    """Return the Triggers, and a line for each that would not be in force."""
    found: dict[FunctionKey, LocalTrigger] = {}
    wrong: list[str] = []
    for item in items:
        body = _identified(item)
        trigger = read(body)
        if isinstance(trigger, Trigger):
            found[trigger.key] = LocalTrigger(trigger, essence(body), claim_of(body))
        else:
            wrong.append(f"{_named(item)}: {trigger.message}")
    return found, [*wrong, *_taken(found, {item.name: item for item in items})]


def bucket_of(local: LocalTrigger) -> str | None:
    """Return the bucket that a Trigger watches, None if it watches none."""
    source = local.trigger.source
    return str(source.settings["bucket"]) if source.kind is SourceKind.STORAGE else None


def polled(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a Trigger's object with a storage source that looks for changes.

    Buckets are folders here, and folders send no notifications.
    """
    source = obj["spec"]["source"]
    if "storage" not in source:
        return obj
    storage = {"pollSeconds": POLL_SECONDS, **source["storage"]}
    return {**obj, "spec": {**obj["spec"], "source": {"storage": storage}}}


def _identified(item: Manifest) -> dict[str, Any]:
    """The object as an API server would have it: a uid that lasts, a generation for each spec."""
    namespace, name = item.name
    spec = item.body["spec"]
    meta = {
        "namespace": namespace,
        "name": name,
        "uid": f"dev-{namespace}-{name}",
        "generation": crc32(json_text(spec).encode()),
    }
    return {**item.body, "metadata": meta}


def _taken(
    found: Mapping[FunctionKey, LocalTrigger], items: Mapping[tuple[str, str], Manifest]
) -> Iterator[str]:
    """Yield a line for each Trigger that wants what only one can have."""
    claims = Claims(local.claim for local in found.values() if local.claim is not None)
    for key, local in found.items():
        other = claims.before(key)
        if other is None:
            continue
        what = "queue" if local.trigger.source.kind is SourceKind.QUEUE else "host and path"
        yield f"{_named(items[key.namespace, key.name])}: {other} has this {what} already"


def _named(item: Manifest) -> str:
    return f"{item.file}: Trigger {item.name[1]}"
