"""The ConfigMap with a Function's code, and how its pods are given what is in it. Pure.

As variables of the environment wherever that is possible: a pod that has a volume starts up to
0.3 s later, since the kubelet asks whether volumes are mounted at once and then every 300 ms
(kubelet, `podAttachAndMountRetryInterval`). The runtime writes the files before it loads the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torpor.functions.digest import digest
from torpor.resources.function import Function
from torpor.resources.names import (
    ANNOTATION_CODE_PLACE,
    ANNOTATION_CODE_SEEN,
    ANNOTATION_CODE_VERSION,
)

Json = dict[str, Any]

FILE_PREFIX = "TORPOR_FILE_"
"""What a file's name has in front of it where it is a variable; the same in the runtimes."""
MOST_BYTES_EACH = 96 * 1024
"""Linux takes no variable of more than 128 KiB (execve(2), MAX_ARG_STRLEN)."""
MOST_BYTES = 128 * 1024
"""Of all files; Linux takes 2 MiB of arguments and environment, the user's variables among them."""
_VARIABLES, _VOLUME = "variables", "volume"


@dataclass(frozen=True, slots=True)
class CodeState:
    """A ConfigMap with code: `version` names what is in it, `seen` the object at that time.

    The object changes with every label that somebody puts on it, what is in it does not.
    `is_small` if it goes into an environment.
    """

    version: str
    seen: str
    is_small: bool

    def annotations(self) -> dict[str, str]:
        """Return what tells `state_in` about a Deployment, besides the annotation of its pods."""
        place = _VARIABLES if self.is_small else _VOLUME
        return {ANNOTATION_CODE_SEEN: self.seen, ANNOTATION_CODE_PLACE: place}


def state_of(config_map: Mapping[str, Any], seen: str) -> CodeState:
    """Return what there is to know of a ConfigMap, which `seen` names as it is now."""
    data, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    return CodeState(digest([data, binary]), seen, not binary and _fits(data))


def state_in(deployment: Json) -> CodeState | None:
    """Return the code that a Deployment was last applied with; None if that cannot be told."""
    annotations = deployment["metadata"].get("annotations", {})
    seen, place = (annotations.get(name) for name in (ANNOTATION_CODE_SEEN, ANNOTATION_CODE_PLACE))
    template = deployment.get("spec", {}).get("template", {}).get("metadata", {})
    version = template.get("annotations", {}).get(ANNOTATION_CODE_VERSION)
    if not version or not seen or not place:
        return None
    return CodeState(version, seen, place == _VARIABLES)


def as_variables(config_map: str) -> Json:
    """Return the entry of `envFrom` that gives a container the files."""
    return {"prefix": FILE_PREFIX, "configMapRef": {"name": config_map}}


def needs_fetcher(function: Function) -> bool:
    """Return whether another container has to fetch the code's archive: Python fetches its own."""
    runtime = function.runtime or ""
    return bool(function.code and function.code.archive) and not runtime.startswith("python3")


def _fits(files: Mapping[str, str]) -> bool:
    sizes = [len(name) + len(text.encode()) for name, text in files.items()]
    return (
        max(sizes, default=0) <= MOST_BYTES_EACH
        and sum(sizes) <= MOST_BYTES
        and not any("\0" in text for text in files.values())
    )
