"""ItemBatcher: several items of a distributed Map become the input of one child."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torpor.expressions.values import json_text
from torpor.workflows.asl.map_fields import read_count
from torpor.workflows.asl.program import ItemBatcher
from torpor.workflows.asl.run import Run
from torpor.workflows.asl.scope import Json, Scope


def batched(
    run: Run, batcher: ItemBatcher, scope: Scope, data: Json, items: list[Json]
) -> tuple[list[Json], list[int]]:
    """The inputs of the children, and how many items each of them has (ASL, "ItemBatcher").

    A child's input as JSON text is at most MaxInputBytesPerBatch long, and never over the payload
    quota, unless it has one item only.
    """
    most = read_count(batcher.max_items, scope, data) or math.inf
    most_bytes = read_count(batcher.max_bytes, scope, data) or math.inf
    most_bytes = min(most_bytes, run.limits.payload_bytes or math.inf)
    common: dict[str, Json] = {}
    if batcher.batch_input is not None:
        common["BatchInput"] = batcher.batch_input.evaluate(scope, data)
    empty = _size({**common, "Items": []})
    batches = list(_split(items, most, most_bytes - empty))
    return [{**common, "Items": batch} for batch in batches], [len(batch) for batch in batches]


def _split(items: list[Json], most: float, most_bytes: float) -> Iterator[list[Json]]:
    batch: list[Json] = []
    size = 0
    for item in items:
        length = _size(item) + 1
        if batch and (len(batch) >= most or size + length - 1 > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length
    if batch:
        yield batch


def _size(value: Json) -> int:
    return len(json_text(value).encode())
