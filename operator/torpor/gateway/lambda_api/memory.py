"""How much of payloads is in memory at once: beyond it, calls are sent back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torpor.gateway.lambda_api.errors import MOST_BYTES, throttled

MEMORY_BYTES = 192 * 1024 * 1024
"""What the payloads of all calls that are done now may take together."""
_EACH_BYTES = 32 * 1024
"""What a call takes besides its payload."""


class Memory:
    """The payloads of the calls that are done now."""

    def __init__(self, most_bytes: int) -> None:
        self._left_bytes = most_bytes

    @contextmanager
    def taken(self, payload_bytes: int | None) -> Iterator[None]:
        """Count a payload while it is there, one of unknown length as the longest.

        TooManyRequestsException when there is no room for it.
        """
        known = MOST_BYTES if payload_bytes is None else min(payload_bytes, MOST_BYTES)
        size = known + _EACH_BYTES
        if size > self._left_bytes:
            message = "Too many payloads are in this gateway's memory: send it again"
            raise throttled(message, "ConcurrentInvocationLimitExceeded", 1)
        self._left_bytes -= size
        try:
            yield
        finally:
            self._left_bytes += size
