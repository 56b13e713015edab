"""Definitions in force, compiled once for each revision and kept while they are used."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial

from torpor.workflows.asl.compile import compile_program
from torpor.workflows.asl.program import Program
from torpor.workflows.beside import compile_beside
from torpor.workflows.engine.usage import forget
from torpor.workflows.ledger.base import Ledger
from torpor.workflows.records import Machine


@dataclass(frozen=True, slots=True)
class Revision:
    """A machine as one revision of it stands, with its compiled definition."""

    machine: Machine
    program: Program


def compile_machine(machine: Machine) -> Program:
    """The program of a machine; the shorter of its two time-outs is in force."""
    program = compile_program(json.loads(machine.definition))
    limits = [machine.options.timeout_seconds, program.timeout_seconds]
    given = [limit for limit in limits if limit is not None]
    return replace(program, timeout_seconds=min(given, default=None))


class Programs:
    """A cache of revisions, the least recently used leave it first."""

    def __init__(self, ledger: Ledger, most: int = 1_000) -> None:
        self._ledger = ledger
        self._most = most
        self._kept: OrderedDict[tuple[str, str], Revision] = OrderedDict()

    async def of(self, machine_arn: str, revision_id: str) -> Revision:
        """One revision; raises NotFound, LedgerAway."""
        key = (machine_arn, revision_id)
        known = self._kept.get(key)
        if known is not None:
            self._kept.move_to_end(key)
            return known
        machine = await self._ledger.revision(machine_arn, revision_id)
        program = await compile_beside(machine.definition, partial(compile_machine, machine))
        found = Revision(machine, program)
        self._kept[key] = found
        while len(self._kept) > self._most:
            forget(self._kept.popitem(last=False)[1].machine)
        return found
