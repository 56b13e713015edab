"""What a runtime's container has instead of an image of its own: image, handler and code. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torpor.errors import TorporError
from torpor.functions import mounts
from torpor.functions.code import needs_fetcher
from torpor.functions.containers import WRITES_NOTHING, env_list
from torpor.resources.code import Code
from torpor.resources.function import Function, Payload
from torpor.resources.names import CONTAINER_CODE, CONTAINER_FUNCTION
from torpor.settings import ControllerSettings

Json = dict[str, Any]

_FETCHES = "python3"
"""The runtime that fetches archives, also for others."""
_MEMORY = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"


class UnknownRuntime(TorporError):
    """The Function asks for a runtime that this installation has no image for."""

    code = "unknown-runtime"

    def __init__(self, runtime: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"spec.runtime: {runtime!r} is not installed; installed: {', '.join(known) or 'none'}"
        )


def runtime_container(
    function: Function, settings: ControllerSettings, env: Sequence[Json]
) -> Json:
    """Return image and environment of a runtime's container, its handler in it; `env` besides."""
    own = {
        "TORPOR_HANDLER": function.handler or "",
        "TORPOR_PAYLOAD": function.payload.value,
        "TORPOR_CONCURRENCY_LIMIT": str(function.scaling.concurrency.limit),
        **_code(function.code),
    }
    folder = {"workingDir": own["TORPOR_CODE_DIR"]} if fetcher(function, settings) else {}
    return {
        **folder,
        "image": runtime_image(function.runtime or "", settings),
        "imagePullPolicy": settings.image_pull_policy,
        "env": [*env_list(own), *_memory(function), *env],
    }


def runtime_image(runtime: str, settings: ControllerSettings) -> str:
    """Return the image of a runtime; UnknownRuntime if none is installed."""
    image = settings.runtime_images.get(runtime)
    if image is None:
        raise UnknownRuntime(runtime, tuple(sorted(settings.runtime_images)))
    return image


def fetcher(function: Function, settings: ControllerSettings) -> list[Json]:
    """Return what fetches an archive first, for a runtime that does not do so itself."""
    if not needs_fetcher(function):
        return []
    return [
        {
            "name": CONTAINER_CODE,
            "image": runtime_image(_FETCHES, settings),
            "imagePullPolicy": settings.image_pull_policy,
            "command": ["python", "-P", "-s", "-m", "torpor_runtime.archive"],
            "env": env_list(_code(function.code)),
            "securityContext": dict(WRITES_NOTHING),
            "volumeMounts": [{"name": "code", "mountPath": mounts.CODE_DIRECTORY}],
        }
    ]


def _code(code: Code | None) -> dict[str, str]:
    """Return what tells a runtime where its code is, unless it is where it always looks."""
    if code and code.inline is not None:
        # The kubelet replaces $(NAME) and $$ in values; $$ is how a $ stays one.
        return {"TORPOR_CODE": code.inline.replace("$", "$$")}
    if code and code.archive:
        return {
            "TORPOR_ARCHIVE_URL": code.archive.url.replace("$", "$$"),
            "TORPOR_ARCHIVE_SHA256": code.archive.sha256,
            "TORPOR_CODE_DIR": f"{mounts.CODE_DIRECTORY}/{code.archive.sha256[:16]}",
        }
    return {}


def _memory(function: Function) -> list[Json]:
    """Return what Lambda's context tells of memory: the limit, or the node's without one."""
    if function.payload is not Payload.LAMBDA or any(e["name"] == _MEMORY for e in function.env):
        return []
    limit = {"containerName": CONTAINER_FUNCTION, "resource": "limits.memory", "divisor": "1Mi"}
    return [{"name": _MEMORY, "valueFrom": {"resourceFieldRef": limit}}]
