"""Every function of this gateway: who is known, who is awake, and who has to be told what.

A function asleep costs its `Terms` and its routes; only one that is awake, waking or parked has a
`Gate` and a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from random import Random

from torpor.gateway import refusals
from torpor.gateway.announcements import Announcements, Endpoint
from torpor.gateway.coldstart import ColdStarts
from torpor.gateway.dataplane.base import DataPlane, Go, Refused
from torpor.gateway.division import Division
from torpor.gateway.gate import Gate, State
from torpor.gateway.homes import Membership
from torpor.gateway.http_table import EMPTY as NO_TABLE
from torpor.gateway.http_table import HttpTable
from torpor.gateway.probe import Prober
from torpor.gateway.publishing import Publisher
from torpor.gateway.routes import Routes
from torpor.gateway.sampling import Loads, Sampler
from torpor.gateway.surroundings import Surroundings
from torpor.gateway.tally import EMPTY, Tally
from torpor.gateway.terms import Part, Terms
from torpor.gateway.watching import Watcher
from torpor.platform.base import Instance, Platform
from torpor.resources.function import Function
from torpor.resources.load import GatewayLoad, ParkAnswer
from torpor.resources.names import FunctionKey
from torpor.telemetry import metrics


class Activator:
    """Holds requests, wakes functions, and keeps the data plane's lanes, routes and homes."""

    def __init__(
        self,
        platform: Platform,
        plane: DataPlane,
        prober: Prober,
        *,
        membership: Membership,
        boot: str,
        random: Random,
        domain: str,
        cluster_domain: str,
        peer_port: int,
    ) -> None:
        self._plane = plane
        self._membership = membership
        self._boot = boot
        self._domains = (domain, cluster_domain)
        self._peer_port = peer_port
        self._terms: dict[FunctionKey, Terms] = {}
        self._instances: dict[FunctionKey, tuple[Instance, ...]] = {}
        self._gates: dict[FunctionKey, Gate] = {}
        self._tallies: dict[FunctionKey, Tally] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._table: HttpTable | None = None
        self._stopping = False
        self._measured_at: float | None = None
        self._cold_starts = ColdStarts()
        self._announcements = Announcements(asyncio.get_running_loop().time)
        self._sampler = Sampler(plane, self._sampled, self._pace_seconds)
        self._publisher = Publisher(self._publish)
        self._watcher = Watcher(platform, self)
        self._around = Surroundings(
            platform, plane, prober, random, self._announcements, self._cold_starts, self._sampler
        )

    async def run(self) -> None:
        """Start the data plane and serve until cancelled; then nobody is held any more."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await self._plane.start(self)
                tasks.create_task(self._sampler.run(), name="sampler")
                tasks.create_task(self._publisher.run(), name="publisher")
                tasks.create_task(self._watcher.run(), name="watcher")
        finally:
            self._stopping = True
            for gate in self._gates.values():
                gate.stop()

    # For the data plane

    async def hold(self, key: FunctionKey) -> Go | Refused:
        """Wait until a request of the function may be forwarded, or say why it may not."""
        if self._stopping:
            return refusals.stopping()
        terms = self._terms.get(key)
        if terms is None:
            refused = refusals.unknown(key)
            metrics.REFUSED.labels(refused.code).inc()
            return refused
        return await (self._gates.get(key) or self._open_gate(key, terms)).hold()

    # For the autoscaler, instances and people

    def load(self) -> GatewayLoad:
        """Return the load of every function that is awake or has requests here."""
        loads = {key: (gate.state, gate.load) for key, gate in self._gates.items()}
        return GatewayLoad(
            gateway=self._membership.me,
            boot=self._boot,
            functions={
                key: load
                for key, (state, load) in loads.items()
                if state is not State.ASLEEP or load.present
            },
            cold_starts=self._cold_starts.latest,
            measured_at=self._measured_at,
        )

    async def park(self, key: FunctionKey) -> ParkAnswer:
        """Hold new requests of the function from now on; return what is left inside.

        DataPlaneError if that is not certain.
        """
        terms = self._terms.get(key)
        if terms is None:
            return ParkAnswer(0, 0, 0)
        return await (self._gates.get(key) or self._open_gate(key, terms)).park()

    def settle(self, key: FunctionKey, *, scaled: bool) -> None:
        """End the parking: the function is at zero (`scaled`), or its instances serve on."""
        gate = self._gates.get(key)
        if gate is None:
            return
        if scaled:
            gate.settle_zero()
        else:
            gate.settle_open()

    def terms(self, key: FunctionKey) -> Terms | None:
        """Return a function's terms, None if it is not known."""
        return self._terms.get(key)

    def functions(self) -> Collection[FunctionKey]:
        """Return all functions that are known."""
        return self._terms.keys()

    def announced(self, key: FunctionKey, endpoint: Endpoint, instance: str | None) -> None:
        """Take in that an instance of the function is at `endpoint`."""
        self._announcements.add(key, endpoint, instance)
        gate = self._gates.get(key)
        if gate is not None:
            gate.announced()

    def gate(self, key: FunctionKey) -> Gate | None:
        """Return the function's gate; None while it is asleep."""
        return self._gates.get(key)

    def cold_start_quantiles_ms(self, key: FunctionKey) -> Mapping[str, float]:
        """Return `p50` and `p95` of the function's latest cold starts; empty if it had none."""
        return self._cold_starts.quantiles_ms(key)

    def set_members(self, addresses: Mapping[str, str]) -> None:
        """Take in which gateways serve, by name with address; this one is always among them."""
        me = self._membership.me
        agreed = Membership.of(me, self._membership.addresses[me], addresses)
        if agreed == self._membership:
            return
        self._membership = agreed
        for key, gate in self._gates.items():
            if key in self._terms:
                gate.agree(self._part(key, self._terms[key]))
        self._publisher.hurry()

    def set_table(self, table: HttpTable) -> None:
        """Take in where requests of Triggers go."""
        if table != self._table:
            self._table = table
            if self._watcher.synced:  # else it is told together with the functions
                self._publisher.hurry()

    # Readiness: None when well, else what is not

    def platform_problem(self) -> str | None:
        """Return what keeps this gateway from knowing the functions."""
        return self._watcher.problem

    def table_problem(self) -> str | None:
        """Return what keeps this gateway from knowing where requests of Triggers go."""
        return None if self._table else "the Triggers are not known yet"

    def plane_problem(self) -> str | None:
        """Return what keeps the data plane from serving; one function's lane is its own trouble."""
        return self._publisher.problem or self._sampler.problem

    # For the watcher

    def function_changed(self, key: FunctionKey, function: Function | None) -> None:
        """Take in a function as it is now; None when it is no more."""
        if function is None:
            self._forget(key)
            return
        known, terms = self._terms.get(key), Terms.of(function)
        if known == terms:
            return
        self._terms[key] = terms
        gate = self._gates.get(key)
        if gate is not None:
            self._tallies[key] = gate.tally
            gate.agree(self._part(key, terms))
        elif self._watcher.synced:
            self._open_if_live(key)
        if known is None or known.published != terms.published:
            self._publisher.hurry()

    def instances_changed(self, key: FunctionKey, instances: tuple[Instance, ...]) -> None:
        """Take in all instances of one function as they are now."""
        if instances:
            self._instances[key] = instances
        else:
            self._instances.pop(key, None)
        gate = self._gates.get(key)
        if gate is not None:
            gate.told(instances)
        elif self._watcher.synced:
            self._open_if_live(key)

    def replaced(self, functions: set[FunctionKey], instances: set[FunctionKey]) -> None:
        """Take in that these are all there are: what else is known has vanished."""
        for key in self._terms.keys() - functions:
            self.function_changed(key, None)
        for key in self._instances.keys() - instances:
            self.instances_changed(key, ())
        for key in tuple(self._instances):
            self._open_if_live(key)
        self._publisher.hurry()

    # Inside

    def _open_if_live(self, key: FunctionKey) -> None:
        terms = self._terms.get(key)
        live = any(not item.terminating for item in self._instances.get(key, ()))
        if terms is not None and live and key not in self._gates:
            self._open_gate(key, terms)

    def _open_gate(self, key: FunctionKey, terms: Terms) -> Gate:
        assert self._tasks is not None, "requests arrive only after run() began"
        tally = self._tallies.setdefault(key, Tally(key))
        gate = Gate(key, self._part(key, terms), tally, self._around)
        gate.told(self._instances.get(key, ()))
        self._gates[key] = gate
        self._tasks.create_task(self._tend(key, gate), name=f"gate {key}")
        self._sampler.hurry()
        return gate

    async def _tend(self, key: FunctionKey, gate: Gate) -> None:
        await gate.run()
        # Something may have come up while its tasks ended; from here on nothing awaits.
        while not gate.is_finished:
            await gate.run()
        gate.close()
        gate.tally.rest()
        del self._gates[key]

    def _forget(self, key: FunctionKey) -> None:
        if self._terms.pop(key, None) is None:
            return
        gate = self._gates.get(key)
        if gate is not None:
            gate.delete()
        tally = self._tallies.pop(key, None)
        if tally is not None:
            tally.remove_series()
        self._announcements.forget(key)
        self._cold_starts.forget(key)
        self._publisher.hurry()

    def _part(self, key: FunctionKey, terms: Terms) -> Part:
        home = self._membership.home(key, *terms.limits)
        share, _ = self._membership.shares(*terms.limits)
        return Part(terms, share, local=home is None)

    def _pace_seconds(self) -> float | None:
        return min((gate.pace_seconds for gate in self._gates.values()), default=None)

    def _sampled(self, loads: Loads, asked_at: float, seconds: float) -> None:
        self._measured_at = asked_at
        for key, gate in self._gates.items():
            gate.sampled(loads.get(key, EMPTY), asked_at, seconds)

    async def _publish(self) -> bool:
        if not self._watcher.synced:
            return False
        terms = tuple(self._terms.items())
        table = self._table or NO_TABLE
        division = Division(self._membership, dict(terms), self._peer_port)
        # First, so that no request goes uncounted.
        await self._plane.set_reserved(division.reserved())
        jobs = frozenset(key for key, each in terms if each.is_job)
        keys = (key for key, _ in terms)
        await self._plane.set_routes(Routes.of(keys, *self._domains, table, jobs))
        await self._plane.set_homes(division.homes(), division.peers())
        return True
