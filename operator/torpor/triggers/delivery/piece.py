"""One event on its way to a target, as the target is to be given it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from torpor.triggers.broker import names
from torpor.triggers.broker.publishing import HEADER_ID
from torpor.triggers.broker.pulling import Message
from torpor.triggers.event import Event, Json, to_json


class Unchanged:
    """The type of `UNCHANGED`: the target gets the event itself."""

    __slots__ = ()


UNCHANGED: Final = Unchanged()


@dataclass(frozen=True, slots=True)
class Piece:
    """`identity` is the same for each delivery of one message, and for no other message.

    `encoded` is the event's JSON; `value` what the Trigger's transform made of it. `effect` is the
    same for all events that are to have one effect; empty: the message's identity. `occasion` is
    the replay or redrive that put it into the inbox, if one did. `trace` is the W3C traceparent
    that its next hop is below: that of the attempt when it is sent.
    """

    identity: str
    event: Event
    encoded: bytes
    value: Json | Unchanged = UNCHANGED
    effect: str = ""
    occasion: str = ""
    trace: str = ""

    @property
    def content(self) -> Json:
        """What a taker of JSON gets."""
        found: Any = to_json(self.event) if isinstance(self.value, Unchanged) else self.value
        return found


def identity_of(message: Message, uid: str) -> str:
    """Return 32 hexadecimal digits for a message of the Trigger of this uid.

    What was published twice under one id has one identity; a replay or redrive has another id.
    """
    given = message.headers.get(HEADER_ID)
    number = f"{message.seq} {message.stored_seconds}"
    return names.message_id(message.stream, given or number, uid)
