"""What stands for a Function that is stored but not understood, for whoever never understood it.

The API server stores what an older version allowed. Such a Function has an address and perhaps
instances, which serve and go to zero as usual; none is started before the object is mended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.errors import InvalidResource
from torpor.resources.conditions import INVALID_SPEC, READY, Truth
from torpor.resources.function import Function

_KEPT = ("port", "protocol", "timeoutSeconds", "scaling", "reservedConcurrency", "hold")
"""What requests and instances that are there depend on."""
_IDENTITY = frozenset({"namespace", "name", "uid", "generation"})
_UNKNOWN: Mapping[str, Any] = {"image": "unknown"}
_ONE_BY_ONE: Mapping[str, Any] = {"concurrency": {"limit": 1}}
"""What no instance is sent too much by, where its own limit is not understood."""


def stand_in(obj: Mapping[str, Any]) -> Function:
    """Return the stand-in for the Function in `obj` (the JSON form), which is not Ready."""
    spec = obj.get("spec") or {}
    kept = {name: spec[name] for name in _KEPT if name in spec}
    bare = {name: value for name, value in obj["metadata"].items() if name in _IDENTITY}
    for understood in (kept, {"scaling": _ONE_BY_ONE}):
        try:
            return Function.parse(
                {"metadata": bare, "spec": {**_UNKNOWN, **understood}, "status": _status(obj)}
            )
        except InvalidResource:
            continue
    raise AssertionError("what nothing is asked of is always understood")


def _status(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    condition = {
        "type": READY,
        "status": Truth.FALSE.value,
        "reason": INVALID_SPEC,
        "message": "its spec is not understood",
        "observedGeneration": obj["metadata"].get("generation", 0),
    }
    return {"conditions": [condition]}
