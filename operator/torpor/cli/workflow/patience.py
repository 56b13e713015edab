"""Waiting for an execution outlasts an engine that is away: the execution goes on without us."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from http import HTTPStatus

from torpor.cli.cluster import Unreachable
from torpor.cli.workflow.reach import NoEngine
from torpor.workflows.client import StepFunctions

PATIENCE_SECONDS = 60.0
"""How long an API that does not answer is asked again: an engine is back in less."""
_PAUSE_SECONDS = 0.5


def patient(api: StepFunctions, execution: str) -> StepFunctions:
    """The same API, asked again while nobody answers; only for calls that change nothing."""

    async def send(headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        deadline: float | None = None
        clock = asyncio.get_running_loop().time
        while True:
            try:
                status, content = await api.send(headers, body)
                if status != HTTPStatus.SERVICE_UNAVAILABLE or _is_over(deadline, clock()):
                    return status, content
                why = f"the engine answers {status}"
            except (Unreachable, NoEngine) as error:
                if _is_over(deadline, clock()):
                    raise Unreachable(f"{error}; {execution} goes on without us") from error
                why = str(error)
            if deadline is None:
                deadline = clock() + PATIENCE_SECONDS
                _tell(why, execution)
            await asyncio.sleep(_PAUSE_SECONDS)

    return StepFunctions(send)


def _is_over(deadline: float | None, now: float) -> bool:
    return deadline is not None and now >= deadline


def _tell(why: str, execution: str) -> None:
    text = f"{why}; {execution} goes on, asking again for {PATIENCE_SECONDS:g} s"
    print(f"torpor workflow: {text}", file=sys.stderr, flush=True)
