"""Claim check: an event too large for the broker leaves its data in the object store.

It then carries `dataref` (the CloudEvents extension of that name) in place of data, and
`torporheld`, which says what kind of value the data was.
"""

from __future__ import annotations

import orjson

from torpor.triggers.base import Undecodable
from torpor.triggers.broker.objects import LARGE_BYTES, ObjectMissing, Objects
from torpor.triggers.broker.publishing import MessageTooLarge
from torpor.triggers.event import NO_DATA, Event, NoData, to_structured
from torpor.triggers.event.json_format import dump_data, load_data

_REFERENCE = "dataref"
_KIND = "torporheld"


async def check_in(event: Event, objects: Objects) -> bytes:
    """Return the event as JSON of about 512 KiB at most, its data put into the store if need be.

    So its dead letter has room at a broker too. Raises MessageTooLarge when its attributes alone
    are larger, and what `Objects.put` does.
    """
    encoded = to_structured(event)
    if len(encoded) <= LARGE_BYTES:
        return encoded
    bare = event.with_data(NO_DATA, event.datacontenttype)
    size = len(to_structured(bare))
    if size > LARGE_BYTES:
        raise MessageTooLarge(
            f"{size} bytes of attributes are more than the {LARGE_BYTES} that an event may have; "
            "put what is large into its data"
        )
    kind, data = _bytes_of(event)
    reference = await objects.put(data)
    return to_structured(bare.with_attributes(claim(kind, reference)))


async def set_aside(undecodable: Undecodable, objects: Objects) -> Undecodable:
    """Return it without bytes that a dead letter has no room for; its `dataref` is where they are.

    Raises what `Objects.set_aside` does.
    """
    if len(undecodable.raw) <= LARGE_BYTES:
        return undecodable
    reference = await objects.set_aside(undecodable.raw)
    others = {k: v for k, v in undecodable.attributes.items() if k != _REFERENCE}
    return Undecodable(b"", undecodable.reason, {_REFERENCE: reference, **others})


def without_data(event: Event, reason: str) -> Undecodable:
    """Return what is to be buried of an event that cannot be taken: its data's bytes."""
    attributes = {name: str(value) for name, value in event.attributes.items()}
    return Undecodable(_bytes_of(event)[1], reason, attributes)


def claim(kind: str, reference: str) -> dict[str, str]:
    """Return the attributes of an event whose data, `json`, `text` or `bytes`, is in the store."""
    return {_REFERENCE: reference, _KIND: kind}


def is_checked_in(event: Event) -> bool:
    """Whether the event's data is in the store."""
    return isinstance(event.data, NoData) and _KIND in event.attributes


def kept_reference(message: bytes) -> str:
    """Return where the data of a stored event, or of a dead letter, is; empty if it has it all.

    A `dataref` that an event came with is its sender's business, and so is one within its data.
    """
    if b'"dataref"' not in message:
        return ""
    try:
        found = orjson.loads(message)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(found, dict):
        return ""
    event, attributes = found.get("event") or found, found.get("attributes")
    if isinstance(event, dict) and _KIND in event:
        return str(event.get(_REFERENCE, ""))
    if isinstance(attributes, dict) and found.get("raw") == "":
        return str(attributes.get(_REFERENCE, ""))
    return ""


async def redeem(event: Event, objects: Objects) -> Event:
    """Return the event with its data again. Raises what `Objects.get` does."""
    if not is_checked_in(event):
        return event
    reference, kind = str(event.attributes.get(_REFERENCE, "")), event.attributes[_KIND]
    data = await objects.get(reference)
    plain = event.with_attributes({_REFERENCE: None, _KIND: None})
    if kind == "json":
        return plain.with_data(load_data(data), event.datacontenttype)
    if kind == "text":
        return plain.with_data(data.decode(), event.datacontenttype)
    if kind == "bytes":
        return plain.with_data(data, event.datacontenttype)
    raise ObjectMissing(f"the event says that its data is {kind!r}, which nobody writes")


def _bytes_of(event: Event) -> tuple[str, bytes]:
    if isinstance(event.data, NoData):
        return "bytes", b""
    if isinstance(event.data, bytes):
        return "bytes", event.data
    if isinstance(event.data, str) and not event.holds_json:
        return "text", event.data.encode()
    return "json", dump_data(event.data)
