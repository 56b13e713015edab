"""Serverless or always on: what each costs in a month, and where the two cost the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from torpor.telemetry.cost.rates import PriceTable, Server
from torpor.telemetry.cost.usage import BadUsage, Size, used
from torpor.telemetry.cost.values import HOUR_SECONDS, MONTH_SECONDS, ZERO, BadPrices, to_number

_POINTS = 40


@dataclass(frozen=True, slots=True)
class Load:
    """So many requests in a month, each of so many seconds, in places of this size.

    `ready` places are kept ready all month. Each request has a place of its own. Where the size
    has no vCPUs, they are those that the price table gives with the memory.
    """

    requests: Decimal
    seconds: Decimal
    size: Size
    ready: Decimal = ZERO

    @classmethod
    def of(
        cls,
        requests: object,
        milliseconds: object,
        memory_mib: object,
        vcpus: object = 0,
        ready: object = 0,
    ) -> Load:
        """Return a load; BadUsage names what cannot be, such as requests below 0."""
        memory = used("the memory in MiB", memory_mib) / 1024
        if not memory:
            raise BadUsage("the memory in MiB must be more than 0")
        return cls(
            used("requests a month", requests),
            used("the milliseconds of a request", milliseconds) / 1000,
            Size(memory, used("vCPUs", vcpus)),
            used("places kept ready", ready),
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Costs of a month. Serverless is `fixed` and `each` request; always on is whole servers.

    A server carries `capacity` requests a month; None: any number, as they take no time.
    """

    table: PriceTable
    server: Server
    load: Load
    fixed: Decimal
    request_part: Decimal
    each: Decimal
    capacity: Decimal | None

    @property
    def server_month(self) -> Decimal:
        """What one server costs in 730 hours."""
        return self.server.hour * MONTH_SECONDS / HOUR_SECONDS

    def serverless(self, requests: Decimal) -> Decimal:
        """Return what so many requests cost serverless."""
        return self.fixed + requests * self.each

    def servers(self, requests: Decimal) -> Decimal:
        """Return how many servers carry so many requests, evenly spread; one is always there."""
        if self.capacity is None:
            return Decimal(1)
        return max(Decimal(1), (requests / self.capacity).to_integral_value(ROUND_CEILING))

    def always_on(self, requests: Decimal) -> Decimal:
        """Return what the servers for so many requests cost."""
        return self.servers(requests) * self.server_month

    @property
    def crossover(self) -> Decimal | None:
        """The least number of requests for which always on costs no more; None: there is none.

        Serverless costs F + c·n, always on H·⌈n/k⌉. They first meet on the first server, at
        n = (H - F)/c, if it can carry as many. If it cannot, then c·k + F < H: each further server
        adds more to the one than its k requests add to the other, and they never meet.
        """
        if self.fixed >= self.server_month:
            return ZERO
        if not self.each:
            return None
        found = (self.server_month - self.fixed) / self.each
        return found if self.capacity is None or found <= self.capacity else None

    def to_json(self) -> dict[str, Any]:
        """Return the comparison with a line to draw for each of the two."""
        load, crossover = self.load, self.crossover
        serverless, always_on = self.serverless(load.requests), self.always_on(load.requests)
        return {
            "table": self.table.name,
            "asOf": self.table.as_of.isoformat(),
            "currency": self.table.currency,
            "server": self.server.name,
            "requests": to_number(load.requests),
            "milliseconds": to_number(load.seconds * 1000),
            "memoryMib": to_number(load.size.memory_gib * 1024),
            "serverless": to_number(serverless),
            "parts": {
                "requests": to_number(load.requests * self.request_part),
                "compute": to_number(load.requests * (self.each - self.request_part)),
                "ready": to_number(self.fixed),
            },
            "alwaysOn": to_number(always_on),
            "servers": int(self.servers(load.requests)),
            "cheaper": "serverless" if serverless < always_on else "always-on",
            "eachRequest": to_number(self.each),
            "crossoverRequests": None if crossover is None else to_number(crossover),
            "curve": [self._point(requests) for requests in self.points()],
        }

    def points(self) -> list[Decimal]:
        """Return numbers of requests to draw at: from 0 past both the load and the crossover."""
        most = max(self.load.requests, self.crossover or ZERO) * 2 or Decimal(1)
        return [most * step / _POINTS for step in range(_POINTS + 1)]

    def _point(self, requests: Decimal) -> dict[str, float]:
        return {
            "requests": to_number(requests),
            "serverless": to_number(self.serverless(requests)),
            "alwaysOn": to_number(self.always_on(requests)),
        }


def compare(load: Load, table: PriceTable, server: Server) -> Comparison:
    """Return both costs; BadPrices if the table has no price for requests or pods.

    Where pods are what is paid for, a request costs the time of its pod: that which a pod takes to
    start and is idle is left out, and is in the bill of what really was.
    """
    if not load.size.vcpus:
        load = replace(load, size=replace(load.size, vcpus=_vcpus(load.size, table)))
    if table.requests:
        request, each = table.requests.request, table.requests.one(load.size, load.seconds)
    elif table.pods:
        request, each = ZERO, load.seconds * table.pods.second(load.size)
    else:
        raise BadPrices(f"{table.name} has no price of requests or of pods to compare with")
    fixed = load.ready * MONTH_SECONDS * _ready_second(table, load.size)
    return Comparison(table, server, load, fixed, request, each, _capacity(load, server))


def _vcpus(size: Size, table: PriceTable) -> Decimal:
    return size.memory_gib * table.vcpus_per_gib


def _ready_second(table: PriceTable, size: Size) -> Decimal:
    if table.requests:
        return table.requests.ready(size)
    return table.pods.second(size) if table.pods else ZERO


def _capacity(load: Load, server: Server) -> Decimal | None:
    """Return how many requests a month a server has room for, all places in use all the time."""
    size = load.size
    places = [(server.memory_gib / size.memory_gib).to_integral_value(ROUND_FLOOR)]
    if size.vcpus:
        places.append((server.vcpus / size.vcpus).to_integral_value(ROUND_FLOOR))
    if not min(places):
        raise BadUsage(f"a request is larger than {server.name}: compare with a larger server")
    return min(places) * MONTH_SECONDS / load.seconds if load.seconds else None
