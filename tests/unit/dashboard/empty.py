"""Sources with nothing in them: tests fill in what they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torpor.dashboard.model import EventSeen, ExecutionSeen, FunctionSeen, Json, TriggerSeen
from torpor.resources.names import FunctionKey


class Empty:
    """Implements `Sources`."""

    place = "a test"

    async def functions(self) -> Sequence[FunctionSeen]:
        return ()

    async def executions(self) -> Sequence[ExecutionSeen]:
        return ()

    async def runs(self) -> Sequence[Json]:
        return ()

    async def triggers(self) -> Sequence[TriggerSeen]:
        return ()

    async def bus(self) -> Sequence[EventSeen]:
        return ()

    async def cost(self) -> Json | None:
        return None

    async def traces(self) -> Sequence[Json]:
        return ()

    async def execution(self, arn: str) -> Json:
        raise NotImplementedError

    async def trace(self, trace_id: str) -> Json:
        raise NotImplementedError

    async def dead_letters(self, trigger: FunctionKey, after: int) -> Json:
        raise NotImplementedError

    async def redrive(self, trigger: FunctionKey, after: int, last: int) -> Json:
        raise NotImplementedError

    async def compare(self, query: Mapping[str, str]) -> Json:
        raise NotImplementedError
