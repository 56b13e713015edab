"""Events in an inbox as bytes and back. Pure."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

from torpor.workflows.asl.events import Input
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.base import LedgerError
from torpor.workflows.ledger.values import dump, fragment, parse, text_fragment

_TYPES: dict[str, type[Any]] = {type.__name__: type for type in get_args(Input)}


def encode_event(event: Input) -> bytes:
    """An event's type and fields."""
    document: dict[str, Any] = {"type": type(event).__name__}
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if isinstance(value, Payload):
            document[field.name] = {"payload": text_fragment(value)}
        else:
            document[field.name] = fragment(value)
    return dump(document)


def decode_event(body: bytes) -> Input:
    """The event of these bytes; raises LedgerError when another release wrote it."""
    try:
        document = parse(body)
        made_as = _TYPES[document.pop("type")]
        names = {field.name for field in dataclasses.fields(made_as)}
        fields = {name: _value(value) for name, value in document.items() if name in names}
        event: Input = made_as(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # Not its bytes: an event may carry a secret.
        raise LedgerError(f"an event that cannot be read: {type(error).__name__}") from error
    return event


def _value(value: Any) -> Any:
    if isinstance(value, dict) and "payload" in value:
        return Payload(value["payload"])
    return value
