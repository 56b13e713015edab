"""The children of Map Runs as executions: they have no row of their own in `execution`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.workflows.asl.context import child_execution_arn
from torpor.workflows.asl.frontier import Status
from torpor.workflows.ledger.base import NotFound
from torpor.workflows.ledger.values import encode_text, stored_payload
from torpor.workflows.records import Execution


def run_of_child(arn: str) -> tuple[str, int]:
    """The Map Run's ARN and the index of a child's ARN; raises NotFound when it is not one."""
    run, _, index = arn.replace(":execution:", ":mapRun:", 1).rpartition(":")
    if "/" not in run or not index.isdecimal() or len(index) > 9:
        raise NotFound(f"execution {arn}")
    return run, int(index)


def child_execution(row: Any, details: Mapping[str, Any]) -> Execution:
    """A child from its row joined with its Map Run and parent, and its history's details."""
    output = details.get("output")
    return Execution(
        child_execution_arn(f"{row['run_arn']}:{row['index']}"),
        str(row["index"]),
        _machine_arn(row),
        row["revision_id"],
        row["shard"],
        Status(row["status"]),
        stored_payload(encode_text(details.get("input", "null"))),
        row["started_at"],
        row["stopped_at"],
        None if output is None else stored_payload(encode_text(output)),
        details.get("error"),
        details.get("cause"),
        parent_arn=row["parent_arn"],
    )


def _machine_arn(row: Any) -> str:
    """A child's machine is its parent's, with the label of the Map."""
    label = row["run_arn"].partition("/")[2].rpartition(":")[0]
    return f"{row['machine_arn']}/{label}"
