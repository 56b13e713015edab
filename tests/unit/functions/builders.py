"""Objects as the API server would show them, for tests of what is made from them."""

from __future__ import annotations

from typing import Any

from torpor.resources.function import Function
from torpor.resources.names import API_VERSION, FunctionKey
from torpor.settings import ControllerSettings

KEY = FunctionKey("shop", "thumbnail")
SETTINGS = ControllerSettings(
    namespace="torpor-system",
    runtime_images={"python3": "torpor/runtime-python:1", "nodejs": "torpor/runtime-node:1"},
)
IMAGE: dict[str, Any] = {"image": "registry/thumbnailer:1.2"}
INLINE: dict[str, Any] = {
    "runtime": "python3",
    "handler": "main.handler",
    "code": {"inline": "def handler(event, context): return 'a$$b $(PORT)'"},
}
FROM_CONFIG_MAP: dict[str, Any] = {**INLINE, "code": {"configMap": "thumbnail-code"}}


def function_object(
    spec: dict[str, Any] | None = None, *, generation: int = 1, uid: str = "uid-1", **status: Any
) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "Function",
        "metadata": {
            "namespace": KEY.namespace,
            "name": KEY.name,
            "uid": uid,
            "generation": generation,
            "resourceVersion": "1",
        },
        "spec": IMAGE if spec is None else spec,
        **({"status": status} if status else {}),
    }


def function(spec: dict[str, Any] | None = None, *, generation: int = 1, **status: Any) -> Function:
    return Function.parse(function_object(spec, generation=generation, **status))
