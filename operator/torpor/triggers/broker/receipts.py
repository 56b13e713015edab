"""Answering for a message long after it was taken, from whatever process: by its receipt.

A receipt is the subject to which the broker wants the answer (`Message.receipt`). What is answered
for here has reached the broker when the method returns.
"""

from __future__ import annotations

import orjson

from torpor.triggers.broker.connection import Connection

_ANSWER_SECONDS = 5.0
_NANOSECONDS = 1_000_000_000


class Receipts:
    """Answers over one connection. All methods raise BrokerAway."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ack(self, receipt: str) -> None:
        """Have the message done; nothing happens when it is done already."""
        await self._say(receipt, b"+ACK")

    async def put_off(self, receipt: str, seconds: float) -> None:
        """Have the message delivered again `seconds` from now, unless it is done before."""
        delay = orjson.dumps({"delay": int(seconds * _NANOSECONDS)})
        await self._say(receipt, b"-NAK " + delay if seconds > 0 else b"-NAK")

    async def in_progress(self, receipt: str) -> None:
        """Begin the message's ack wait anew."""
        await self._say(receipt, b"+WPI")

    async def _say(self, receipt: str, word: bytes) -> None:
        link = await self._connection.link(_ANSWER_SECONDS)
        await link.request(receipt, word, _ANSWER_SECONDS)
