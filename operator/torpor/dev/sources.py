"""What the Secrets and ConfigMaps of a folder hold, as written and as it counts here. Pure."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from torpor.dev.manifests import BadFolder, Manifest
from torpor.dev.standins import SCHEMA, Embedded, Source, StandIn, Values, stand_in
from torpor.errors import InvalidResource
from torpor.resources.function import Function

SECRET, CONFIG_MAP = "Secret", "ConfigMap"
Name = tuple[str, str, str]
"""Kind, namespace and name."""
Sources = Mapping[Name, Source]
Fields = Mapping[Name, Values]


def read_sources(items: Sequence[Manifest]) -> tuple[dict[Name, Source], list[str]]:
    """Return what the Secrets and ConfigMaps hold, and a line for each that is wrong."""
    found: dict[Name, Source] = {}
    wrong: list[str] = []
    for item in items:
        named = f"{item.file}: {item.kind} {item.name[1]}"
        try:
            found[item.kind, *item.name] = _source(item)
        except (InvalidResource, BadFolder) as error:
            wrong.append(f"{named}: {error}")
    wrong += _schemas_missing(items, found)
    return found, wrong


def fields_of(sources: Sources, embedded: Embedded) -> Fields:
    """Return the fields of each as they count here."""
    return {name: source.values(embedded) for name, source in sources.items()}


def buckets(sources: Sources, embedded: Embedded) -> Mapping[str, str]:
    """Return by its address each bucket that something stands for, and the address that counts."""
    return {
        source.fields["url"].decode().rstrip("/"): source.values(embedded)["url"].decode()
        for source in sources.values()
        if source.stand_in is StandIn.STORAGE
    }


def checkpointed(function: Function, buckets: Mapping[str, str]) -> Function:
    """Return a Function whose checkpoints are where their bucket is."""
    checkpoint = function.job.checkpoint if function.job else None
    if function.job is None or checkpoint is None or not checkpoint.store:
        return function
    for url, instead in buckets.items():
        rest = checkpoint.store.removeprefix(url)
        if rest != checkpoint.store and (not rest or rest.startswith("/")):
            moved = replace(checkpoint, store=f"{instead}{rest}")
            return replace(function, job=replace(function.job, checkpoint=moved))
    return function


def _source(item: Manifest) -> Source:
    notes = item.body["metadata"].get("annotations") or {}
    source = Source(_fields(item), stand_in(notes), notes.get(SCHEMA, ""))
    if source.schema and source.stand_in is not StandIn.POSTGRESQL:
        raise InvalidResource(f"metadata.annotations[{SCHEMA}]", "is for embedded: postgresql")
    source.check()
    return source


def _fields(item: Manifest) -> Values:
    plain, encoded = ("stringData", "data") if item.kind == SECRET else ("data", "binaryData")
    found: dict[str, bytes] = {}
    for name, text in (item.body.get(encoded) or {}).items():
        try:
            found[name] = b64decode(text, validate=True)
        except ValueError as error:
            told = f"{encoded}.{name}: not base64: {error}; write plain text in {plain}"
            raise BadFolder(told) from None
    return found | {name: text.encode() for name, text in (item.body.get(plain) or {}).items()}


def _schemas_missing(items: Sequence[Manifest], found: Sources) -> Iterator[str]:
    for item in items:
        source = found.get((item.kind, *item.name))
        if source is None or not source.schema:
            continue
        if (CONFIG_MAP, item.name[0], source.schema) not in found:
            named = f"{item.file}: {item.kind} {item.name[1]}"
            place = f"metadata.annotations[{SCHEMA}]"
            yield f"{named}: {place}: no ConfigMap {source.schema!r} in the folder"
