"""The volumes of a Function's pods: those of its code, and those that the user asks for. Pure.

An instance has as few as can be, as each start waits for them (`code`): what it writes is gone with
its container anyway. The container of a run writes to volumes alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torpor.functions.code import CodeState, needs_fetcher
from torpor.resources.function import Function
from torpor.resources.instance import Volume

Json = dict[str, Any]

CODE_DIRECTORY = "/var/torpor/code"
_TEMPORARY = "/tmp"  # noqa: S108 - the pod's own
_ARCHIVE_LIMIT = "1Gi"
"""What an archive may take while it is fetched and unpacked; the runtime's limits are smaller."""


def volumes(function: Function, code: CodeState | None = None) -> list[Json]:
    """Return what the pod has to be mounted; `code` is what an instance's ConfigMap is like."""
    own = [{"name": name, **source} for name, _, source in _own(function, code)]
    return [*own, *({"name": item.name, **item.source} for item in function.volumes)]


def mounts(function: Function, code: CodeState | None = None) -> list[Json]:
    """Return where the container has it."""
    own = [{"name": name, **place} for name, place, _ in _own(function, code)]
    return [*own, *(_mount(item) for item in function.volumes)]


def security(function: Function, group: int) -> Json:
    """Return what lets a user that is not root write into what it may: the volumes' group.

    Only volumes that outlive the pod need it; their files are not gone through at each start.
    """
    if not any(item.is_writable for item in function.volumes):
        return {}
    return {"fsGroup": group, "fsGroupChangePolicy": "OnRootMismatch"}


def _own(function: Function, state: CodeState | None) -> Iterator[tuple[str, Json, Json]]:
    """Yield name, place and source of what is mounted besides the user's."""
    is_run = function.job is not None
    if is_run and all(item.mount_path.rstrip("/") != _TEMPORARY for item in function.volumes):
        yield "tmp", {"mountPath": _TEMPORARY}, {"emptyDir": {}}
    code = function.code
    if code and code.config_map is not None and not (state and state.is_small):
        place = {"mountPath": CODE_DIRECTORY, "readOnly": True}
        yield "code", place, {"configMap": {"name": code.config_map}}
    if code and code.archive and (is_run or needs_fetcher(function)):
        yield "code", {"mountPath": CODE_DIRECTORY}, {"emptyDir": {"sizeLimit": _ARCHIVE_LIMIT}}


def _mount(item: Volume) -> Json:
    return {
        "name": item.name,
        "mountPath": item.mount_path,
        **({"subPath": item.sub_path} if item.sub_path else {}),
        **({"readOnly": True} if item.read_only else {}),
    }
