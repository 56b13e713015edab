"""The gateways as the autoscaler sees them, wherever they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torpor.resources.load import GatewayLoad, ParkAnswer
from torpor.resources.names import FunctionKey


class Gateways(Protocol):
    """All gateways at once. A gateway that does not answer is missing from the result."""

    async def loads(self) -> tuple[Sequence[GatewayLoad], int]:
        """Return the load of every gateway that answered, and how many did not."""
        ...

    async def park(self, key: FunctionKey) -> Sequence[ParkAnswer] | None:
        """Park the function on every gateway; None unless every one of them acknowledged.

        A parked function's new requests are held. A gateway unparks by itself when nothing is
        heard for `PARK_SECONDS`.
        """
        ...

    async def settle(self, key: FunctionKey, *, scaled: bool) -> None:
        """End the parking: with `scaled` the function is at zero, else its instances serve on."""
        ...
