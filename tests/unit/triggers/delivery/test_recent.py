"""What a partition ended last, and for how long an id published again is the same event."""

from __future__ import annotations

from typing import Any

import pytest

from torpor.triggers.broker.names import INBOX_STREAM, queue_stream
from torpor.triggers.broker.publishing import HEADER_ID
from torpor.triggers.broker.pulling import Message
from torpor.triggers.delivery.recent import Recent

NO_LINK: Any = None


def _message(stream: str, seq: int, stored_seconds: float) -> Message:
    headers = {HEADER_ID: "one"}
    return Message(stream, seq, "subject.0", b"", headers, 1, stored_seconds, False, NO_LINK, "")


@pytest.mark.parametrize(
    ("stream", "later_seconds", "known"),
    [
        (INBOX_STREAM, 119, True),
        (INBOX_STREAM, 121, False),
        (queue_stream("shop", "jobs"), 299, True),
        (queue_stream("shop", "jobs"), 301, False),
    ],
)
def test_an_id_is_known_for_as_long_as_its_stream_knows_it(
    stream: str, later_seconds: float, known: bool
) -> None:
    recent = Recent().and_now(_message(stream, 1, 1000.0), "uid")
    assert recent.has(_message(stream, 2, 1000.0 + later_seconds), "uid") is known
