"""The latest executions of all machines, and the states that they are in, for people who watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from torpor.workflows.asl.frontier import Status
from torpor.workflows.engine.tracing import trace_of
from torpor.workflows.ledger.base import Ledger, LedgerAway, LedgerError, NotFound
from torpor.workflows.records import Execution

LATEST_PATH: Final = "/v1/executions"
MOST: Final = 50
_MOST_STATES: Final = 50
"""Of one execution: as many as anybody reads; a Parallel may be in thousands."""
_MORE: Final = "…"


@dataclass(frozen=True, slots=True)
class LatestExecution:
    """One execution at one moment. `states` are those that it is in while it runs, `…` for more.

    `error` is what it ended with, or why one that runs cannot be read by this release. `workflow`
    is `namespace/name`; times are Unix time, `stopped_at` None while it runs.
    """

    arn: str
    workflow: str
    name: str
    status: str
    states: tuple[str, ...]
    started_at: float
    stopped_at: float | None
    error: str | None
    trace_id: str

    def to_json(self) -> dict[str, Any]:
        """Return its JSON form."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; KeyError or TypeError for anything else."""
        return cls(**{**body, "states": tuple(body["states"])})


async def latest(ledger: Ledger, limit: int = MOST) -> list[LatestExecution]:
    """Return the latest executions, the newest first. Raises LedgerAway."""
    page = await ledger.executions(None, None, limit, None)
    return [await _seen(ledger, execution) for execution in page.items]


async def _seen(ledger: Ledger, execution: Execution) -> LatestExecution:
    states, error = await _stand(ledger, execution)
    return LatestExecution(
        execution.arn,
        execution.machine_arn.rpartition(":")[2].replace(".", "/", 1),
        execution.name,
        execution.status.value,
        states,
        execution.started_at,
        execution.stopped_at,
        error,
        trace_of(execution).id,
    )


async def _stand(ledger: Ledger, execution: Execution) -> tuple[tuple[str, ...], str | None]:
    """The states that an execution is in, and what is wrong with it."""
    if execution.status is not Status.RUNNING:
        return (), execution.error
    try:
        frontier = (await ledger.load_one(execution.arn)).frontier
    except NotFound:  # it ended meanwhile, and is forgotten
        return (), None
    except LedgerAway:
        raise
    except LedgerError as unreadable:  # it stays as it is, for a release that can read it
        return (), str(unreadable)
    frames = frontier.frames.values() if frontier else ()
    states = tuple(dict.fromkeys(frame.state for frame in frames))
    return (*states[:_MOST_STATES], *([_MORE] if len(states) > _MOST_STATES else ())), None
