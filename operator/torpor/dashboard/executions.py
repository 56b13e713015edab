"""One execution as the page shows it when opened, asked of the execution API."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

from torpor.dashboard.graph import graph_json, history_json
from torpor.dashboard.sources import Away, NotThere
from torpor.workflows.client import NotTheApi, Refused, StepFunctions
from torpor.workflows.graph import read_graph

MOST_EVENTS: Final = 5_000
"""Of a history: what is read of a longer one is its beginning."""
MOST_TOLD: Final = 500
_MOST_TEXT: Final = 65_536
_PAGE: Final = 1_000
_MISSING: Final = ("ExecutionDoesNotExist", "InvalidArn", "StateMachineDoesNotExist")


async def execution_json(api: StepFunctions, arn: str) -> Mapping[str, Any]:
    """Return all about an execution; NotThere, or Away when the engine does not answer so."""
    try:
        told = await api.call("DescribeExecution", executionArn=arn)
        machine = await api.call("DescribeStateMachineForExecution", executionArn=arn)
        history, complete = await _history(api, arn)
    except Refused as error:
        if error.name in _MISSING:
            raise NotThere(
                f"there is no execution {arn[:300]}, or it is forgotten by now"
            ) from None
        raise Away(f"the engine: {error}") from error
    except NotTheApi as error:
        raise Away(f"the engine: {error}") from error
    ended = told.get("stopDate")
    return {
        "arn": arn,
        "name": told["name"],
        "workflow": workflow_of(told["stateMachineArn"]),
        "status": told["status"],
        "startedAt": told["startDate"],
        "seconds": max(0.0, (ended or time.time()) - told["startDate"]),
        "error": told.get("error"),
        "cause": told.get("cause"),
        "input": told.get("input", "")[:_MOST_TEXT],
        "output": told["output"][:_MOST_TEXT] if "output" in told else None,
        "graph": graph_json(read_graph(json.loads(machine["definition"])), history),
        "history": history_json(history)[-MOST_TOLD:],
        "complete": complete and len(history) <= MOST_TOLD,
    }


def workflow_of(machine_arn: str) -> str:
    """Return a machine's Workflow as people write it: `namespace/name`."""
    return machine_arn.rpartition(":")[2].replace(".", "/", 1)


async def _history(api: StepFunctions, arn: str) -> tuple[list[Mapping[str, Any]], bool]:
    """The events from the first on, and whether they are all."""
    found: list[Mapping[str, Any]] = []
    events = api.each(
        "GetExecutionHistory",
        "events",
        executionArn=arn,
        maxResults=_PAGE,
        includeExecutionData=False,
    )
    async for event in events:
        if len(found) == MOST_EVENTS:
            return found, False
        found.append(event)
    return found, True
