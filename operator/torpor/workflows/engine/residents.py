"""The executions in this process's memory, by ARN and by shard.

Reading the ledger takes time in which an execution can come, go on and leave. `reading()` spans
such a read: who left meanwhile is not taken in again from its out-of-date result.

Who is evicted is still this process's, only not in memory: its timers go on, and it is remembered
until it comes back or its shard goes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from torpor.telemetry.metrics import WORKFLOW_RESIDENTS
from torpor.workflows.engine.resident import Resident


class Residents:
    """A set of residents that remembers who left while a read is under way."""

    def __init__(self) -> None:
        self._by_arn: dict[str, Resident] = {}
        self._by_shard: dict[int, set[str]] = {}
        self._evicted: dict[int, set[str]] = {}
        self._reads: list[set[str]] = []

    def __len__(self) -> int:
        return len(self._by_arn)

    def __iter__(self) -> Iterator[Resident]:
        return iter(list(self._by_arn.values()))

    def get(self, arn: str) -> Resident | None:
        """The resident with this ARN."""
        return self._by_arn.get(arn)

    def may_enter(self, arn: str, left: Collection[str]) -> bool:
        """Whether what was read about this execution, while those `left`, is news."""
        return arn not in self._by_arn and arn not in left

    def add(self, resident: Resident) -> None:
        """Take a resident in."""
        self._by_arn[resident.arn] = resident
        if resident.owned is not None:
            self._by_shard.setdefault(resident.owned.shard, set()).add(resident.arn)
            self._evicted.get(resident.owned.shard, set()).discard(resident.arn)
        WORKFLOW_RESIDENTS.set(len(self._by_arn))

    def remove(self, resident: Resident) -> None:
        """Let a resident go."""
        resident.gone = True
        if self._by_arn.get(resident.arn) is not resident:
            return
        del self._by_arn[resident.arn]
        if resident.owned is not None:
            self._by_shard.get(resident.owned.shard, set()).discard(resident.arn)
        for left in self._reads:
            left.add(resident.arn)
        WORKFLOW_RESIDENTS.set(len(self._by_arn))

    def evict(self, resident: Resident) -> None:
        """Let a resident leave the memory that has timers here."""
        self.remove(resident)
        if resident.owned is not None:
            self._evicted.setdefault(resident.owned.shard, set()).add(resident.arn)

    def take_evicted(self, shard: int) -> set[str]:
        """The evicted executions of a shard, which are forgotten by this."""
        return self._evicted.pop(shard, set())

    def of_shard(self, shard: int) -> list[Resident]:
        """The residents of one shard."""
        return [self._by_arn[arn] for arn in self._by_shard.get(shard, ())]

    @contextmanager
    def reading(self) -> Iterator[Collection[str]]:
        """Span a read of the ledger and the taking in of its result; gives who left meanwhile."""
        left: set[str] = set()
        self._reads.append(left)
        try:
            yield left
        finally:
            self._reads = [read for read in self._reads if read is not left]
