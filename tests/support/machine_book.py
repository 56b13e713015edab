"""As much of a ledger and an engine as machines need, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import EMPTY
from torpor.workflows.ledger.base import AlreadyExists, LedgerAway, NotFound
from torpor.workflows.records import Execution, Machine, MachineStatus, Page


def arn_of(name: str) -> str:
    return f"arn:aws:states:us-east-1:000000000000:stateMachine:{name}"


@dataclass
class MachineBook:
    """The methods of `Ledger` and of the engine's `Api` that machines are kept with."""

    kept: dict[str, Machine] = field(default_factory=dict)
    running: dict[str, list[Execution]] = field(default_factory=dict)
    ended: dict[str, Counter[Status]] = field(default_factory=dict)
    puts: int = 0
    away: bool = False

    async def put_machine(self, machine: Machine, replaces: str | None = None) -> Machine:
        self._reach()
        latest = self.kept.get(machine.arn)
        if (latest.revision_id if latest else None) != replaces:
            raise AlreadyExists(machine.arn)
        self.puts += 1
        self.kept[machine.arn] = machine
        return machine

    async def machine(self, arn: str) -> Machine:
        self._reach()
        if arn not in self.kept:
            raise NotFound(arn)
        return self.kept[arn]

    async def machines(self, limit: int, token: str | None) -> Page[Machine]:
        self._reach()
        names = sorted(self.kept)
        start = int(token or 0)
        rest = start + limit < len(names)
        items = tuple(self.kept[name] for name in names[start : start + limit])
        return Page(items, str(start + limit) if rest else None)

    async def delete_machine(self, arn: str) -> None:
        self._reach()
        self.kept[arn] = replace(self.kept[arn], status=MachineStatus.DELETING)
        self._sweep(arn)

    async def counts(self, machine_arn: str) -> Mapping[Status, int]:
        self._reach()
        running = len(self.running.get(machine_arn, ()))
        return {**self.ended.get(machine_arn, {}), Status.RUNNING: running}

    async def counts_of(self, machine_arns: Sequence[str]) -> Mapping[str, Mapping[Status, int]]:
        return {arn: await self.counts(arn) for arn in machine_arns}

    async def executions(
        self,
        machine_arn: str | None,
        status: Status | None,
        limit: int,
        token: str | None,
        map_run_arn: str | None = None,
        redriven: bool | None = None,
    ) -> Page[Execution]:
        assert machine_arn is not None
        return Page(tuple(self.running.get(machine_arn, ())[:limit]))

    async def stop(self, arn: str, error: str | None, cause: str | None) -> float:
        for machine_arn, executions in self.running.items():
            left = [item for item in executions if item.arn != arn]
            if len(left) < len(executions):
                self.running[machine_arn] = left
                self.ended.setdefault(machine_arn, Counter())[Status.ABORTED] += 1
                self._sweep(machine_arn)
                return 0.0
        raise NotFound(arn)

    def begin(self, name: str, *executions: str) -> None:
        """Have executions run, as if they had been started."""
        arn = arn_of(name)
        machine = self.kept[arn]
        self.running[arn] = [
            Execution(
                arn=f"{arn}:{item}".replace(":stateMachine:", ":execution:"),
                name=item,
                machine_arn=arn,
                revision_id=machine.revision_id,
                shard=0,
                status=Status.RUNNING,
                input=EMPTY,
                started_at=0.0,
            )
            for item in executions
        ]

    def end(self, name: str, status: Status) -> None:
        """Have one running execution end."""
        arn = arn_of(name)
        self.running[arn].pop()
        self.ended.setdefault(arn, Counter())[status] += 1
        self._sweep(arn)

    def _sweep(self, arn: str) -> None:
        if self.kept[arn].status is MachineStatus.DELETING and not self.running.get(arn):
            del self.kept[arn]

    def _reach(self) -> None:
        if self.away:
            raise LedgerAway("PostgreSQL does not answer")
