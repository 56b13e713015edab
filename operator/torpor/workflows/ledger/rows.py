"""Rows of the tables as records. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.encoding import BlobKey
from torpor.workflows.ledger.values import dump, fragment, parse, stored_payload
from torpor.workflows.records import (
    Activity,
    Alias,
    Execution,
    HistoryRow,
    Machine,
    MachineStatus,
    MachineType,
    MachineVersion,
    MapRunSummary,
    Options,
)

Bodies = Mapping[BlobKey, Payload]


def execution_blobs(row: Any) -> list[BlobKey]:
    """The blobs that a row of `execution` refers to."""
    keys = []
    if row["input"] is None:
        keys.append((row["day"], row["input_digest"]))
    if row["output_digest"] is not None:
        keys.append((row["day"], row["output_digest"]))
    return keys


def execution_of(row: Any, bodies: Bodies) -> Execution:
    """An execution from its row."""
    return Execution(
        row["arn"],
        row["name"],
        row["machine_arn"],
        row["revision_id"],
        row["shard"],
        Status(row["status"]),
        _payload(row, "input", bodies) or Payload(None),
        row["started_at"],
        row["stopped_at"],
        _payload(row, "output", bodies),
        row["error"],
        row["cause"],
        row["redrive_count"],
        row["redriven_at"],
        row["machine_version_arn"],
        row["alias_arn"],
        row["parent_arn"],
        row["trace_header"],
        row["parent_task"],
        row["depth"],
    )


def _payload(row: Any, name: str, bodies: Bodies) -> Payload | None:
    if row[name] is not None:
        return stored_payload(row[name])
    digest = row[f"{name}_digest"]
    return None if digest is None else bodies[row["day"], digest]


def event_blobs(day: int, row: Any) -> list[BlobKey]:
    """The blobs that a row of `history` refers to."""
    if row["large"] is None:
        return []
    return [(day, bytes.fromhex(digest)) for digest in parse(row["large"]).values()]


def event_of(day: int, row: Any, bodies: Bodies) -> HistoryRow:
    """A history event from its row."""
    details = parse(row["details"])
    if row["large"] is not None:
        for name, digest in parse(row["large"]).items():
            details[name] = bodies[day, bytes.fromhex(digest)].text
    return HistoryRow(row["id"], row["previous"], row["type"], row["at"], details)


def map_run_of(row: Any) -> MapRunSummary:
    """A Map Run from its row, joined with the counts of its children."""
    return MapRunSummary(
        row["arn"],
        row["execution_arn"],
        row["machine_arn"],
        Status(row["status"]),
        row["started_at"],
        row["stopped_at"],
        row["max_concurrency"],
        row["tolerated_count"],
        row["tolerated_percentage"],
        row["total"],
        row["succeeded"],
        row["failed"],
        row["running"],
    )


def machine_body(machine: Machine) -> bytes:
    """A revision of a machine as it is stored."""
    fields = {
        field.name: getattr(machine, field.name)
        for field in dataclasses.fields(machine)
        if field.name not in ("options", "status")
    }
    options = {
        field.name: getattr(machine.options, field.name)
        for field in dataclasses.fields(machine.options)
    }
    return dump(
        {**fields, "options": fragment({**options, "resources": dict(options["resources"])})}
    )


def machine_of(body: bytes, status: str) -> Machine:
    """A machine from a stored revision. Options that this release does not know are left out."""
    document = parse(body)
    known = {field.name for field in dataclasses.fields(Options)}
    options = {name: value for name, value in document.pop("options").items() if name in known}
    return Machine(
        **{**document, "type": MachineType(document["type"])},
        status=MachineStatus(status),
        options=Options(**options),
    )


def version_of(row: Any) -> MachineVersion:
    """A version from its row."""
    return MachineVersion(
        row["arn"],
        row["machine_arn"],
        row["number"],
        row["revision_id"],
        row["description"],
        row["created_at"],
    )


def alias_of(row: Any) -> Alias:
    """An alias from its row."""
    return Alias(
        row["arn"],
        row["name"],
        row["machine_arn"],
        row["description"],
        tuple((arn, weight) for arn, weight in parse(row["routing"].encode())),
        row["created_at"],
        row["updated_at"],
    )


def activity_of(row: Any) -> Activity:
    """An activity from its row."""
    return Activity(row["arn"], row["name"], row["created_at"])
