"""The one gateway of `torpor dev` as the autoscaler sees it: a call instead of HTTP."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torpor.errors import DataPlaneError
from torpor.gateway.activator import Activator
from torpor.resources.load import GatewayLoad, ParkAnswer
from torpor.resources.names import FunctionKey

log = logging.getLogger(__name__)


class InProcessGateways:
    """Implements `Gateways` over one activator."""

    def __init__(self, activator: Activator) -> None:
        self._activator = activator

    async def loads(self) -> tuple[Sequence[GatewayLoad], int]:
        """Return the one load; nobody is ever silent."""
        return (self._activator.load(),), 0

    async def park(self, key: FunctionKey) -> Sequence[ParkAnswer] | None:
        """Park the function; None if the data plane did not follow."""
        try:
            return (await self._activator.park(key),)
        except DataPlaneError as error:
            log.warning("%s was not parked: %s", key, error)
            return None

    async def settle(self, key: FunctionKey, *, scaled: bool) -> None:
        """End the parking."""
        self._activator.settle(key, scaled=scaled)
