"""Sends commands and steps to the HAProxy of now, and notices when it is another one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torpor.errors import DataPlaneError
from torpor.gateway.dataplane.haproxy.runtime import RuntimeSocket
from torpor.gateway.dataplane.haproxy.steps import Step


class Commands:
    """The runtime API across HAProxy's lives: an answer of a past life is none."""

    def __init__(self, admin_socket: Path) -> None:
        self._runtime = RuntimeSocket(admin_socket)
        self._life = 0

    def begin_life(self) -> None:
        """Take in that HAProxy is started anew."""
        self._life += 1
        self._runtime.close()

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        self._runtime.close()

    async def ask(self, commands: Sequence[str]) -> list[str]:
        """Return the answers; DataPlaneError when HAProxy is away or was started meanwhile."""
        life = self._life
        answers = await self._runtime.run(commands)
        if life != self._life:
            raise DataPlaneError("HAProxy was started again")
        return answers

    async def perform(self, steps: Sequence[Step]) -> None:
        """Take all steps; DataPlaneError says which HAProxy refused."""
        refused = await self.attempt(steps)
        if refused:
            raise DataPlaneError("HAProxy refused: " + "; ".join(refused[:5]))

    async def attempt(self, steps: Sequence[Step]) -> list[str]:
        """Take all steps, note those that HAProxy took, and return what it said to the others."""
        if not steps:
            return []
        answers = await self.ask([step.command for step in steps])
        refused: list[str] = []
        for step, answer in zip(steps, answers, strict=True):
            if step.succeeded(answer):
                step.done()
            else:
                refused.append(f"{step.command}: {answer.strip()}")
        return refused
