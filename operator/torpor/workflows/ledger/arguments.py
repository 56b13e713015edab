"""Encoded commits and starts as the array arguments of the functions in `schema/`. Pure.

The order is that of the functions' parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

from torpor.workflows.ledger.encoding import BlobKey, Encoded, inline_or_digest
from torpor.workflows.ledger.keys import day_of, key_of
from torpor.workflows.ledger.values import Blobs, encode_text
from torpor.workflows.records import Execution

Columns = list[Sequence[Any]]


def commit_arguments(group: Sequence[Encoded], stored: Container[BlobKey]) -> Columns:
    """The arguments of `torpor_commit`; blobs that are `stored` already are left out."""
    return [
        *_columns([(one.shard, one.epoch, one.key, *one.delta.header) for one in group], 6),
        [n for n, one in enumerate(group, 1) if one.first],
        *_rows(group, 4, lambda one: one.delta.frames),
        *_rows(group, 1, lambda one: [(id,) for id in one.delta.removed]),
        *_rows(group, 3, lambda one: one.delta.results),
        *_rows(group, 2, lambda one: one.delta.forgotten),
        *_rows(group, 1, lambda one: [(id,) for id in one.delta.cleared]),
        *_rows(group, 8, lambda one: [(one.day, *row) for row in one.history]),
        *_rows(group, 3, lambda one: _blob_rows(one.day, one.blobs, stored)),
        *_rows(group, 8, lambda one: [] if one.status is None else [one.status]),
        *_rows(group, 11, lambda one: one.runs),
        *_rows(group, 4, lambda one: [row for row in one.children if row.status == "RUNNING"]),
        *_rows(group, 4, lambda one: [row for row in one.children if row.status != "RUNNING"]),
        *_rows(group, 1, lambda one: [(id,) for id in one.consumed]),
    ]


def start_arguments(group: Sequence[Execution], stored: Container[BlobKey]) -> Columns:
    """The arguments of `torpor_begin`."""
    rows, blob_rows = [], []
    for execution in group:
        blobs, day = Blobs(), day_of(execution.started_at)
        input, _ = inline_or_digest(execution.input, blobs)
        rows.append(
            (
                key_of(execution.arn),
                execution.arn,
                execution.name,
                execution.machine_arn,
                execution.revision_id,
                execution.shard,
                day,
                input,
                execution.input.digest,
                execution.started_at,
                execution.machine_version_arn,
                execution.alias_arn,
                execution.parent_arn,
                execution.trace_header,
                execution.parent_task,
                execution.depth,
            )
        )
        blob_rows += _blob_rows(day, blobs, stored)
    return [*_columns(rows, 16), *_columns(blob_rows, 3)]


def blob_keys(one: Encoded) -> Iterable[BlobKey]:
    """The blobs that an encoded commit refers to."""
    return ((one.day, digest) for digest in one.blobs.bodies)


def _blob_rows(
    day: int, blobs: Blobs, stored: Container[BlobKey]
) -> list[tuple[int, bytes, bytes]]:
    return [
        (day, digest, encode_text(payload.text))
        for digest, payload in blobs.bodies.items()
        if (day, digest) not in stored
    ]


def _rows(
    group: Sequence[Encoded], width: int, rows_of: Callable[[Encoded], Iterable[Sequence[Any]]]
) -> Columns:
    """The columns of one table, the first being the place of the commit in the group."""
    rows = [(n, *row) for n, one in enumerate(group, 1) for row in rows_of(one)]
    return _columns(rows, width + 1)


def _columns(rows: Sequence[Sequence[Any]], width: int) -> Columns:
    return (
        [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
    )
