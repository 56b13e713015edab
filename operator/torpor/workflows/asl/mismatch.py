"""The faults of a JSONata expression that gives nothing, or not what its field takes."""

from __future__ import annotations

from torpor.expressions.values import json_text
from torpor.workflows.asl import fault
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.scope import Json

_KINDS = ((bool, "boolean"), (str, "string"), (list, "array"), (dict, "object"))


def undefined(text: str, field: str) -> Fault:
    """The fault of a field whose expression `text` gave nothing."""
    cause = (
        f"The JSONata expression '{text}' specified for the field '{field}' "
        "returned nothing (undefined)."
    )
    return Fault(fault.QUERY_EVALUATION, cause, field)


def unexpected_type(text: str, field: str, expected: str, value: Json) -> Fault:
    """The fault of a field whose expression `text` gave a value of another type than `expected`."""
    cause = (
        f"The JSONata expression '{text}' specified for the field '{field}' returned an "
        f"unexpected result type. Expected '{expected}', but was '{type_name(value)}' "
        f"for value: {json_text(value)}"
    )
    return Fault(fault.QUERY_EVALUATION, cause, field)


def type_name(value: Json) -> str:
    """The JSON type of a value, as causes name it."""
    if value is None:
        return "null"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "number")
