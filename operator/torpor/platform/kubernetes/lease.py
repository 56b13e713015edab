"""One leader among the controller's replicas, by a Lease object.

Safety comes from times on this process's own clock: others may take the Lease over only when they
have seen no renewal for `duration`, while the holder stops at `deadline`, which is shorter. Wall
clocks of different machines are never compared (client-go's leader election does the same).
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from torpor.errors import ApiConflict, ApiError, ApiNotFound, TorporError
from torpor.platform.kubernetes.client import KubernetesApi
from torpor.platform.kubernetes.resources import LEASES
from torpor.platform.kubernetes.throttle import Clock, Random
from torpor.telemetry.metrics import LEADER

log = logging.getLogger(__name__)


def suspend_aware_clock() -> float:
    """Return seconds that go on while the machine is suspended, unlike `time.monotonic`."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class LeaseLost(TorporError):
    """Somebody else may lead by now: stop writing at once."""

    code = "lease-lost"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: a Lease lasts, its holder gives up, everybody tries again, work may take to end."""

    duration: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0
    ending: float = 10.0


DEFAULT_TIMING = Timing()


class Lease:
    """One replica's part in the election. `identity` must be unique, such as the pod's name."""

    def __init__(
        self,
        api: KubernetesApi,
        namespace: str,
        name: str,
        identity: str,
        *,
        timing: Timing = DEFAULT_TIMING,
        clock: Clock = suspend_aware_clock,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        rand: Random = random.random,
        end_process: Callable[[int], NoReturn] = os._exit,
    ) -> None:
        """`end_process` is given the exit status when work that was cancelled does not end."""
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._timing = timing
        self._clock = clock
        self._now = now
        self._random = rand
        self._end_process = end_process
        self._held_until = float("-inf")
        self._observed: tuple[str, str] = ("", "")
        self._observed_at = float("-inf")
        self._version = ""

    def held(self) -> bool:
        """Return whether this replica leads now, `duration - deadline` before others might."""
        return self._clock() < self._held_until

    async def lead(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait to become leader, run `work`, keep the Lease meanwhile, and release it at the end.

        When the Lease is lost, `work` is cancelled at once and LeaseLost raised, or the error with
        which `work` then ends. If it does not end, the process does: it might write for ever.
        """
        await self._acquire()
        LEADER.set(1)
        log.info("leading", extra={"fields": {"lease": self._name, "identity": self._identity}})
        task = asyncio.create_task(work(), name="work of the leader")
        renewal = asyncio.create_task(self._keep(), name="renew the lease")
        try:
            await asyncio.wait([task, renewal], return_when=asyncio.FIRST_COMPLETED)
        finally:
            LEADER.set(0)
            await self._end(task, renewal)
            await self._release()
            lost = _error_of(renewal)
            if (broken := _error_of(task)) is not None:
                if lost:
                    log.warning("the work ended with an error when this came: %s", lost)
                raise broken
        if lost:
            raise lost

    async def _end(self, *tasks: asyncio.Task[None]) -> None:
        for task in tasks:
            task.cancel()
        _, late = await asyncio.wait(tasks, timeout=self._timing.ending)
        if late:
            names = ", ".join(task.get_name() for task in late)
            text = "the process ends, as this did not end in %g s after it was cancelled: %s"
            log.critical(text, self._timing.ending, names)
            self._end_process(1)

    async def _acquire(self) -> None:
        while True:
            if await self._tried():
                return
            await asyncio.sleep(self._timing.retry * (1.0 + 0.2 * self._random()))

    async def _keep(self) -> None:
        while True:
            left = self._held_until - self._clock()
            if left <= 0:
                raise LeaseLost(f"Lease {self._name}: not renewed in {self._timing.deadline:g} s")
            await asyncio.sleep(min(left, self._timing.retry * (0.9 + 0.2 * self._random())))
            if not self.held():
                continue
            if not await self._tried() and self._observed[0] != self._identity:
                self._held_until = float("-inf")
                raise LeaseLost(f"Lease {self._name}: taken by {self._observed[0] or 'nobody'}")

    async def _tried(self) -> bool:
        """Try once, within half the time, and return whether the Lease is ours.

        A connection that hangs is so left early enough for a second try over another one.
        """
        left = self._held_until - self._clock()
        half = self._timing.deadline / 2
        try:
            async with asyncio.timeout(min(left, half) if left > 0 else half):
                return await self._try()
        except (TimeoutError, ApiError) as error:
            fields = {"lease": self._name, "error": str(error) or "no answer in time"}
            log.warning("the lease cannot be renewed or taken", extra={"fields": fields})
            return False

    async def _try(self) -> bool:
        # The deadline counts from before the call: the server may have written at any moment of it.
        began = self._clock()
        try:
            written = await (self._renew() if self._version and self.held() else self._take())
        except ApiConflict:
            self._version = ""
            written = await self._take()
        if written is None:
            return False
        self._version = written["metadata"]["resourceVersion"]
        self._observed = (self._identity, "")
        self._held_until = began + self._timing.deadline
        return True

    async def _renew(self) -> dict[str, Any]:
        spec = {"holderIdentity": self._identity, "renewTime": self._stamp()}
        return await self._patch(spec, self._version)

    async def _take(self) -> dict[str, Any] | None:
        """Write the Lease if it is free, ours or expired; None if somebody else holds it."""
        try:
            lease = await self._api.get(LEASES, self._namespace, self._name)
        except ApiNotFound:
            return await self._create()
        spec = lease.get("spec") or {}
        if not self._free(spec):
            return None
        moved = spec.get("holderIdentity") != self._identity
        changed = {
            **self._spec(),
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + int(moved),
        }
        return await self._patch(changed, lease["metadata"]["resourceVersion"])

    def _free(self, spec: Mapping[str, Any]) -> bool:
        holder = str(spec.get("holderIdentity") or "")
        record = (holder, str(spec.get("renewTime") or ""))
        if record != self._observed:
            self._observed = record
            self._observed_at = self._clock()
        if holder in ("", self._identity):
            return True
        lasts = float(spec.get("leaseDurationSeconds") or self._timing.duration)
        return self._clock() - self._observed_at > lasts

    async def _create(self) -> dict[str, Any]:
        meta = {"name": self._name, "namespace": self._namespace}
        body = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": meta,
            "spec": {**self._spec(), "leaseTransitions": 0},
        }
        return await self._api.create(LEASES, self._namespace, body)

    async def _patch(self, spec: Mapping[str, Any], version: str) -> dict[str, Any]:
        body = {"metadata": {"resourceVersion": version}, "spec": dict(spec)}
        return await self._api.patch(
            LEASES, self._namespace, self._name, body, manager="torpor-lease"
        )

    async def _release(self) -> None:
        """Let others in at once if it is still ours; failing that they wait for its end."""
        if not self.held():
            return
        self._held_until = float("-inf")
        try:
            async with asyncio.timeout(self._timing.retry):
                await self._give_up()
        except (TimeoutError, ApiError) as error:
            log.info("the lease was not released", extra={"fields": {"error": str(error)}})

    async def _give_up(self) -> None:
        nobody = {"holderIdentity": ""}
        try:
            await self._patch(nobody, self._version)
        except ApiConflict:
            # A renewal that was cancelled half-way may have been written all the same.
            lease = await self._api.get(LEASES, self._namespace, self._name)
            if lease["spec"].get("holderIdentity") == self._identity:
                await self._patch(nobody, lease["metadata"]["resourceVersion"])

    def _spec(self) -> dict[str, Any]:
        stamp = self._stamp()
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._timing.duration)),
            "acquireTime": stamp,
            "renewTime": stamp,
        }

    def _stamp(self) -> str:
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()
