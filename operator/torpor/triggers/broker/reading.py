"""Reading what a stream holds, without consuming it: dead letters and the archives of buses."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torpor.triggers.broker.api import call
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import MESSAGE_NOT_FOUND, STREAM_NOT_FOUND, BrokerRefused
from torpor.triggers.broker.specs import seconds_of

_NO_SUCH_MESSAGE = 10057


@dataclass(frozen=True, slots=True)
class Kept:
    """A message in a stream; `stored_seconds` is Unix time, `head` its headers as NATS has them."""

    seq: int
    subject: str
    data: bytes
    stored_seconds: float
    head: bytes = b""


async def read_from(connection: Connection, stream: str, subject: str, seq: int) -> Kept | None:
    """Return the first message from number `seq` on of a subject (`*` and `>` allowed), or None.

    Raises BrokerAway.
    """
    return await _get(connection, stream, {"seq": max(1, seq), "next_by_subj": subject})


async def remove(connection: Connection, stream: str, seq: int) -> None:
    """Delete one message; nothing happens when it is not there."""
    try:
        await call(connection, f"STREAM.MSG.DELETE.{stream}", {"seq": seq, "no_erase": True})
    except BrokerRefused as error:
        if error.err_code not in (MESSAGE_NOT_FOUND, STREAM_NOT_FOUND, _NO_SUCH_MESSAGE):
            raise


async def first_since(connection: Connection, stream: str, subject: str, since: float) -> int:
    """Return the number of the first message stored at Unix time `since` or later.

    Past the last message when all are older.
    """
    answer = await call(connection, f"STREAM.INFO.{stream}")
    low, high = int(answer["state"]["first_seq"]), int(answer["state"]["last_seq"]) + 1
    while low < high:
        middle = (low + high) // 2
        found = await read_from(connection, stream, subject, middle)
        if found is not None and found.stored_seconds < since:
            low = found.seq + 1
        else:
            high = middle
    return low


async def _get(connection: Connection, stream: str, request: Mapping[str, Any]) -> Kept | None:
    try:
        answer = await call(connection, f"STREAM.MSG.GET.{stream}", request)
    except BrokerRefused as error:
        if error.err_code in (MESSAGE_NOT_FOUND, STREAM_NOT_FOUND):
            return None
        raise
    found = answer["message"]
    return Kept(
        seq=int(found["seq"]),
        subject=str(found["subject"]),
        data=base64.b64decode(found.get("data", "")),
        stored_seconds=seconds_of(str(found["time"])),
        head=base64.b64decode(found.get("hdrs", "")),
    )
