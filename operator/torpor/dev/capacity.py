"""How much the functions of `torpor dev` can take at once, for who delivers events to them."""

from __future__ import annotations

from collections.abc import Callable

from torpor.platform.local import LocalPlatform
from torpor.resources.function import Function
from torpor.resources.names import FunctionKey


class LocalCapacity:
    """Knows the processes of each function, and what one may have at once."""

    def __init__(
        self, platform: LocalPlatform, function: Callable[[FunctionKey], Function | None]
    ) -> None:
        self._platform = platform
        self._function = function

    def places(self, function: FunctionKey) -> int | None:
        """Return how many requests its ready processes may have; None where there is no limit."""
        found = self._function(function)
        limit = found.scaling.concurrency.limit if found else 0
        if found is None or found.job or not limit:
            return None
        instances = self._platform.instances(function)
        return limit * sum(item.ready and not item.terminating for item in instances)
