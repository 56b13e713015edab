"""Whether answers are what botocore's model of AWS Step Functions says they are."""

from __future__ import annotations

import json
from typing import Any

from botocore.model import OperationModel, Shape

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "timestamp": (int, float),
    "boolean": (bool,),
    "list": (list,),
    "map": (dict,),
    "structure": (dict,),
}


def check_answer(model: OperationModel, body: bytes) -> None:
    """Raise AssertionError unless the answer of a call has just the members of its model."""
    found = list(_differences(model.output_shape, json.loads(body), model.name))
    assert found == [], found


def _differences(shape: Any, value: Any, where: str) -> list[str]:
    kind: str = shape.type_name
    if not _is_a(kind, value):
        return [f"{where} is {value!r}, not a {kind}"]
    if kind == "structure":
        return _in_structure(shape, value, where)
    if kind == "list":
        return [
            text
            for index, item in enumerate(value)
            for text in _differences(shape.member, item, f"{where}[{index}]")
        ]
    if kind == "map":
        return [t for k, v in value.items() for t in _differences(shape.value, v, f"{where}.{k}")]
    return _in_scalar(shape, value, where)


def _is_a(kind: str, value: Any) -> bool:
    return isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _in_structure(shape: Any, value: dict[str, Any], where: str) -> list[str]:
    unknown = [f"{where}.{name} is unknown" for name in value.keys() - shape.members.keys()]
    # METADATA_ONLY leaves out the definition, which the model requires.
    missing = [
        f"{where}.{name} is missing"
        for name in shape.required_members
        if name not in value and name != "definition"
    ]
    inner = [
        text
        for name in value.keys() & shape.members.keys()
        for text in _differences(shape.members[name], value[name], f"{where}.{name}")
    ]
    return unknown + missing + inner


def _in_scalar(shape: Shape, value: Any, where: str) -> list[str]:
    allowed = getattr(shape, "enum", None)
    if allowed and value not in allowed:
        return [f"{where} is {value!r}, none of {allowed}"]
    return []
