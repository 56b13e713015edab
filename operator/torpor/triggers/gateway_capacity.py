"""How much Functions can take, as the gateways know it: their ready instances times their limit.

The gateways are asked every second, all that the name of their headless Service stands for; what
there is room for is shared evenly among the dispatchers, which are counted in the same way.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from torpor.resources.load import GatewayLoad
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import TargetKind
from torpor.triggers.definitions import Definition
from torpor.triggers.standings import TargetFacts

_EVERY_SECONDS = 1.0
_IN_VAIN_SECONDS = 10.0
_ANSWER_SECONDS = 2.0
_STALE_SECONDS = 5.0
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError)

Resolve = Callable[[], Awaitable[Sequence[str]]]
"""Returns the addresses, `host:port`, behind a Service; OSError when they cannot be found out."""


def resolver(host: str, port: int) -> Resolve:
    """Return what asks DNS for all addresses of a headless Service."""

    async def resolve() -> Sequence[str]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_ANSWER_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = {str(address[0]) for *_, address in found}
        return [f"[{one}]:{port}" if ":" in one else f"{one}:{port}" for one in sorted(addresses)]

    return resolve


@dataclass(frozen=True, slots=True)
class _Seen:
    """The share of each Function that has a limit, as of a time of the clock."""

    at: float = float("-inf")
    places: Mapping[FunctionKey, int] = field(default_factory=dict)


class GatewayCapacity:
    """Implements `Capacity` while `run` runs. The session is the caller's.

    `token` is the internal one; `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        token: str,
        gateways: Resolve,
        dispatchers: Resolve,
        known: Callable[[], Mapping[FunctionKey, Definition]],
        clock: Callable[[], float],
    ) -> None:
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"}
        self._gateways = gateways
        self._dispatchers = dispatchers
        self._known = known
        self._clock = clock
        self._seen = _Seen()

    def places(self, function: FunctionKey) -> int | None:
        """Return this process's share, 0 of a Function at zero.

        None where the Function has no limit, and while no gateway has answered lately.
        """
        if self._clock() - self._seen.at > _STALE_SECONDS:
            return None
        return self._seen.places.get(function)

    async def run(self) -> None:
        """Ask, for ever, while there are Triggers; less often where nobody answers."""
        while True:
            before = self._seen
            if self._known():
                self._seen = await self._look()
            in_vain = bool(self._known()) and self._seen is before
            await asyncio.sleep(_IN_VAIN_SECONDS if in_vain else _EVERY_SECONDS)

    async def _look(self) -> _Seen:
        try:
            addresses = await self._gateways()
            dispatchers = max(1, len(await self._dispatchers()))
        except OSError:
            return self._seen
        answers = await asyncio.gather(*(self._load(address) for address in addresses))
        loads = [load for load in answers if load is not None]
        if not loads:
            return self._seen
        instances = _instances(loads)
        limits = _limits(self._known().values())
        return _Seen(
            self._clock(),
            {
                function: math.ceil(limit * instances.get(function, 0) / dispatchers)
                for function, limit in limits.items()
            },
        )

    async def _load(self, address: str) -> GatewayLoad | None:
        """One gateway's answer; None without one, which the autoscaler tells the log of."""
        try:
            async with (
                asyncio.timeout(_ANSWER_SECONDS),
                self._session.get(f"http://{address}/v1/load", headers=self._headers) as answer,
            ):
                answer.raise_for_status()
                return GatewayLoad.from_json(await answer.json())
        except _FAILURES:
            return None


def _instances(loads: Sequence[GatewayLoad]) -> Mapping[FunctionKey, int]:
    """How many instances each Function has; a gateway knows those that it sends requests to."""
    names: dict[FunctionKey, set[str]] = {}
    for load in loads:
        for key, function in load.functions.items():
            names.setdefault(key, set()).update(function.instances)
    return {key: len(found) for key, found in names.items()}


def _limits(definitions: Iterable[Definition]) -> Mapping[FunctionKey, int]:
    """What one instance may have at once, of the targets that have a limit."""
    found: dict[FunctionKey, int] = {}
    for definition in definitions:
        trigger, facts = definition.trigger, definition.facts
        if trigger.target.kind is not TargetKind.FUNCTION or not facts:
            continue
        if limit := TargetFacts.from_json(facts).concurrency_limit:
            found[FunctionKey(trigger.key.namespace, trigger.target.name)] = limit
    return found
