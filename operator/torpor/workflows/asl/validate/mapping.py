"""Checks of what only a Map has: items from outside, batches, results to outside, its label."""

from __future__ import annotations

import re

from torpor.workflows.asl.scope import Json
from torpor.workflows.asl.validate import expressions, values
from torpor.workflows.asl.validate.findings import Code, MachineType, Spot
from torpor.workflows.asl.validate.shape import (
    Shape,
    array_of,
    both,
    in_jsonata,
    in_path,
)

MAX_ITEMS = 100_000_000
MAX_BATCH_BYTES = 262_144
MAX_LABEL = 40
"""Characters of a Map's label."""

DISTRIBUTED_ONLY = ("ItemReader", "ItemBatcher", "ResultWriter")
"""Fields that a Map may have in distributed mode only."""

_BAD_IN_LABEL = re.compile(r"""[\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]""")

processor_config = Shape(
    {
        "Mode": both(values.one_of("INLINE", "DISTRIBUTED")),
        "ExecutionType": both(values.one_of("STANDARD", "EXPRESS")),
    }
)
_READER_CONFIG = Shape(
    {
        "InputType": both(values.one_of("CSV", "JSON", "JSONL", "PARQUET", "MANIFEST")),
        "Transformation": both(values.one_of("NONE", "LOAD_AND_FLATTEN")),
        "ManifestType": both(values.one_of("ATHENA_DATA", "S3_INVENTORY")),
        "CSVHeaderLocation": both(values.one_of("FIRST_ROW", "GIVEN")),
        "CSVHeaders": both(array_of(values.text)),
        "CSVDelimiter": both(values.one_of("COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB")),
        "MaxItems": both(expressions.computed(values.integer(0, MAX_ITEMS))),
        "MaxItemsPath": in_path(expressions.data_path),
        "ItemsPointer": both(values.text),
    },
    exclusive=(("MaxItems", "MaxItemsPath"),),
)
item_reader = Shape(
    {
        "Resource": both(values.resource),
        "ReaderConfig": both(_READER_CONFIG),
        "Parameters": in_path(expressions.payload_template),
        "Arguments": in_jsonata(expressions.jsonata_template),
    },
    required=("Resource",),
)
item_batcher = Shape(
    {
        "MaxItemsPerBatch": both(expressions.computed(values.integer(0, MAX_ITEMS))),
        "MaxItemsPerBatchPath": in_path(expressions.data_path),
        "MaxInputBytesPerBatch": both(expressions.computed(values.integer(0, MAX_BATCH_BYTES))),
        "MaxInputBytesPerBatchPath": in_path(expressions.data_path),
        "BatchInput": both(expressions.template),
    },
    exclusive=(
        ("MaxItemsPerBatch", "MaxItemsPerBatchPath"),
        ("MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath"),
    ),
)
_WRITER_CONFIG = Shape(
    {
        "OutputType": both(values.one_of("JSON", "JSONL")),
        "Transformation": both(values.one_of("NONE", "COMPACT", "FLATTEN")),
    }
)
result_writer = Shape(
    {
        "Resource": both(values.resource),
        "WriterConfig": both(_WRITER_CONFIG),
        "Parameters": in_path(expressions.payload_template),
        "Arguments": in_jsonata(expressions.jsonata_template),
    }
)


def label(value: Json, spot: Spot) -> None:
    """A Map's label: part of the names of its child executions, so it takes few characters.

    One message is given, for the first thing that is wrong; a label may stand once in a definition.
    """
    if not values.is_text(value, spot):
        return
    if wrong := wrong_label(value):
        spot.error(wrong, Code.INVALID_LABEL)
    elif value in spot.findings.labels:
        spot.error(f"Duplicate label name: {value}", Code.DUPLICATE_LABEL)
    spot.findings.labels.add(value)


def wrong_label(value: str) -> str | None:
    """What is wrong with a label, or None."""
    if not value:
        return "Label cannot be empty"
    if len(value) > MAX_LABEL:
        return f"Label cannot exceed {MAX_LABEL} characters"
    if bad := _BAD_IN_LABEL.search(value):
        return f"Label contains invalid character: '{_visible(bad[0])}'"
    return None


def _visible(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def check_mode(state: dict[str, Json], spot: Spot) -> None:
    """Check what a Map's mode asks of it: distributed ones have more fields, and an own type."""
    name = "ItemProcessor" if "ItemProcessor" in state else "Iterator"
    processor = state.get(name)
    config = processor.get("ProcessorConfig") if isinstance(processor, dict) else None
    place = spot.field(name).field("ProcessorConfig")
    if isinstance(config, dict) and config.get("Mode") == "DISTRIBUTED":
        _check_distributed(config, place)
    elif not isinstance(config, dict) or config.get("Mode", "INLINE") == "INLINE":
        _check_inline(state, spot)


def _check_distributed(config: dict[str, Json], spot: Spot) -> None:
    if "ExecutionType" not in config:
        spot.error("These fields are required: [ExecutionType]")
    if spot.rules.machine_type is MachineType.EXPRESS:
        spot.field("Mode").error("Express state machine does not support 'DISTRIBUTED' mode")


def _check_inline(state: dict[str, Json], spot: Spot) -> None:
    for name in DISTRIBUTED_ONLY:
        if name in state:
            spot.error(f"Field '{name}' is only supported for Map states in 'DISTRIBUTED' mode")
