"""The members that requests of the execution API have in common, and their constraints."""

from __future__ import annotations

from torpor.aws.shapes import Group, Many, Number, OneOf, Text

ARN = Text(1, 256)
LONG_ARN = Text(1, 2_000)
NAME = Text(1, 80)
DEFINITION = Text(1, 1_048_576, hidden=True)
PAGE_SIZE = Number(0, 1_000)
PAGE_TOKEN = Text(1, 1_024)
DATA = Text(hidden=True)
ERROR = Text(0, 256, hidden=True)
CAUSE = Text(0, 32_768, hidden=True)
TASK_TOKEN = Text(1, 2_048, hidden=True)
INCLUDED = OneOf(("ALL_DATA", "METADATA_ONLY"))
TAGS = Many(Group({"key": Text(1, 128), "value": Text(0, 256)}))
TRACE = Text(0, 256, r"[\x01-\x7f]*")
