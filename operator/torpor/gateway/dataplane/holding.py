"""Holds a request inside this process, and tells of it, as holdserver.py does for HAProxy."""

from __future__ import annotations

from torpor.errors import DataPlaneError
from torpor.gateway.dataplane.base import Go, Holder, Refused
from torpor.gateway.heldspans import HeldSpans, Trace, told_of
from torpor.resources.names import FunctionKey

_HOLD = "first"


async def held(
    holder: Holder | None, key: FunctionKey, request_id: str, trace: Trace, spans: HeldSpans
) -> Go | Refused:
    """Return the verdict on a request; DataPlaneError before there is anybody to give one."""
    if holder is None:
        raise DataPlaneError("the data plane is not started")
    began, verdict = spans.wall(), None
    try:
        verdict = await holder.hold(key)
    finally:  # also of one whose client left
        error, attributes = told_of(verdict, request_id, _HOLD)
        spans.tell(key, trace, began, error, attributes)
    return verdict
