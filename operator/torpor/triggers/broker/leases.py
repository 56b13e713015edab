"""Who reads a source that takes one reader: a key that vanishes unless it is renewed.

Others may take the lease over when the broker has forgotten the key, which is its time to live
after the last renewal reached it. The holder counts from when it *sent* that renewal, on its own
clock, and stops earlier: at no time do two hold it, whatever the clocks of the machines say.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from torpor.errors import TorporError
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.beside import beside
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import BrokerRefused, WrongRevision
from torpor.triggers.broker.kv import Bucket


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: the key lives, its holder gives up, it renews, others try."""

    live: float = 10.0
    deadline: float = 8.0
    renew: float = 3.0
    retry: float = 0.5


DEFAULT_TIMING = Timing()


class LeaseLost(TorporError):
    """Somebody else may hold the lease by now: stop reading at once."""

    code = "lease-lost"


class Leases:
    """The leases of this process, whose `identity` must be unique, such as the pod's name."""

    def __init__(
        self,
        connection: Connection,
        identity: str,
        *,
        clock: Callable[[], float],
        timing: Timing = DEFAULT_TIMING,
        bucket: str = names.BUCKET_LEASES,
    ) -> None:
        self._bucket = Bucket(connection, bucket, timing.live)
        self._identity = f"{identity} {secrets.token_hex(8)}".encode()
        self._clock = clock
        self._timing = timing

    async def holder(self, key: str) -> str | None:
        """Return the identity of who holds a lease now, or None."""
        found = await self._bucket.get(key)
        return None if found is None else (found.value or b"").decode().partition(" ")[0]

    @contextlib.asynccontextmanager
    async def held(self, key: str) -> AsyncIterator[None]:
        """Wait for the lease, hold it inside the block, give it back.

        The block is cancelled when the lease cannot be kept, and LeaseLost raised then.
        """
        lease = await self._take(key)
        try:
            async with beside(self._keep(lease), f"lease {key}"):
                yield
        finally:
            await self._give_back(lease)

    async def _take(self, key: str) -> _Lease:
        while True:
            asked = self._clock()
            try:
                revision = await self._bucket.create(key, self._identity)
                return _Lease(key, revision, asked)
            except (BrokerAway, WrongRevision):
                await asyncio.sleep(self._timing.retry)

    async def _keep(self, lease: _Lease) -> None:
        while True:
            await asyncio.sleep(self._timing.renew)
            await self._renew(lease)

    async def _renew(self, lease: _Lease) -> None:
        """Renew until it is done; LeaseLost at the deadline, or when the key is not ours."""
        while True:
            asked = self._clock()
            remaining = lease.renewed + self._timing.deadline - asked
            if remaining <= 0:
                raise LeaseLost(f"{lease.key} could not be renewed in time")
            try:
                async with asyncio.timeout(remaining):
                    lease.revision = await self._bucket.update(
                        lease.key, self._identity, lease.revision
                    )
                lease.renewed = asked
                return
            except WrongRevision:
                await self._recognise(lease)
            except TimeoutError:
                continue
            except (BrokerAway, BrokerRefused):
                await asyncio.sleep(min(self._timing.retry, remaining))

    async def _recognise(self, lease: _Lease) -> None:
        """A renewal whose answer was lost changed the revision; else LeaseLost."""
        with contextlib.suppress(BrokerAway, BrokerRefused):
            found = await self._bucket.get(lease.key)
            if found is None or found.value != self._identity:
                raise LeaseLost(f"{lease.key} is held by somebody else")
            lease.revision = found.revision

    async def _give_back(self, lease: _Lease) -> None:
        """Let the next one have it at once; without an answer it ends by itself."""
        with contextlib.suppress(BrokerAway, BrokerRefused, TimeoutError):
            async with asyncio.timeout(self._timing.retry):
                await self._bucket.delete(lease.key, lease.revision)


@dataclass(slots=True)
class _Lease:
    key: str
    revision: int
    renewed: float
