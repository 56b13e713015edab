"""Which events of a batch failed, as the target says it in its answer. Pure.

The form is Lambda's (ReportBatchItemFailures): `{"batchItemFailures": [{"itemIdentifier": id}]}`,
with the ids of the events that failed. An answer of another form says that none did, and one that
names an event that was not in the batch is not to be trusted: all have failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

_MEMBER = "batchItemFailures"


class UnknownItem(ValueError):
    """The answer names what was not in the batch."""


def failed_positions(body: bytes, ids: Sequence[str]) -> frozenset[int]:
    """Return the positions of the events that failed, by the ids of those sent.

    Events of a batch that have one id fail together. Raises UnknownItem.
    """
    if _MEMBER.encode() not in body:
        return frozenset()
    failures = _failures(body)
    named = {_identifier(failure) for failure in failures}
    strange = named - set(ids)
    if strange:
        raise UnknownItem(f"the answer names {min(strange)[:200]!r}, which was not in the batch")
    return frozenset(position for position, name in enumerate(ids) if name in named)


def _failures(body: bytes) -> Sequence[Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ()
    found = answer.get(_MEMBER) if isinstance(answer, dict) else None
    if found is None:
        return ()
    if not isinstance(found, list):
        raise UnknownItem(f"{_MEMBER} in the answer is not a list")
    return found


def _identifier(failure: Any) -> str:
    found = failure.get("itemIdentifier") if isinstance(failure, dict) else None
    if not isinstance(found, str) or not found:
        raise UnknownItem(f"{_MEMBER} in the answer has an item without itemIdentifier")
    return found
