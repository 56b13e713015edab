"""What a local run carries, and how it stands: kept in a file, so that it outlives `torpor dev`.

A run has a folder of its own, with its code and its input as they were when it was started.
Editing or deleting its Function changes nothing of it, as nothing of a Kubernetes Job would be.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import orjson

from torpor.functions.runs.progress import Progress, together
from torpor.functions.runs.words import EXIT_STOPPED
from torpor.resources.names import FunctionKey
from torpor.resources.run import Indexes, Run, RunState
from torpor.resources.run_details import RunAttempt

RECORD = "run.json"
CODE = "code"
_INPUT = "input"
LOG = "index-{}.log"


@dataclass(frozen=True, slots=True)
class Launch:
    """All that starting an index takes. `environment` is what the run adds to our own."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    completions: int
    parallelism: int
    retries_per_index: int
    timeout_seconds: float
    ttl_seconds: float
    grace_seconds: float
    trace: str = ""
    """The caller's traceparent, empty for none."""
    addresses: tuple[str, ...] = ()
    """Where what `torpor dev` serves was when this was written: `environment` may name it."""

    def at(self, addresses: Sequence[str]) -> Launch:
        """Return the same launch for a `torpor dev` that serves the same at these addresses."""
        moved = {old: new for old, new in zip(self.addresses, addresses, strict=False) if old}
        if not moved:
            return self
        known = re.compile(f"(?:{'|'.join(map(re.escape, moved))})(?![0-9])")  # no longer port
        environment = {
            name: known.sub(lambda found: moved[found[0]], value)
            for name, value in self.environment.items()
        }
        return replace(self, environment=environment, addresses=tuple(addresses))


class IndexState(Enum):
    """Where an index is."""

    WAITING = "waiting"
    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(slots=True)
class IndexRecord:
    """One index. `failures` are attempts that were used up; the rest is how the last one ended."""

    state: IndexState = IndexState.WAITING
    failures: int = 0
    exit_code: int = 0
    message: str = ""
    result: Any = None
    cut: bool = False
    """It left a result that was too long to be kept."""

    @property
    def attempt(self) -> int:
        """Which attempt it is at, or was when it failed for good, the first being 1."""
        return self.failures if self.state is IndexState.FAILED else self.failures + 1


@dataclass(slots=True)
class RunRecord:
    """One run; times are Unix seconds, None while they are not yet."""

    id: str
    key: FunctionKey
    launch: Launch
    created: float
    indexes: list[IndexRecord]
    state: RunState = RunState.PENDING
    reason: str = ""
    message: str = ""
    started: float | None = None
    finished: float | None = None
    pod_seconds: float = 0.0
    cancelled: bool = False
    progress: dict[int, Progress] = field(default_factory=dict)
    """By index, of those that told of it. Not kept in the file."""

    def view(self) -> Run:
        """Return the run as callers are told of it."""
        states = [index.state for index in self.indexes]
        reason, message = (self.reason, self.message) if self.reason else self._again()
        succeeded = [n for n, state in enumerate(states) if state is IndexState.SUCCEEDED]
        return Run(
            id=self.id,
            key=self.key,
            state=self.state,
            reason=reason,
            message=message,
            created=rfc3339(self.created),
            started=rfc3339(self.started),
            finished=rfc3339(self.finished),
            attempt=max(index.attempt for index in self.indexes),
            indexes=Indexes(
                succeeded=states.count(IndexState.SUCCEEDED),
                failed=states.count(IndexState.FAILED),
                active=states.count(IndexState.ACTIVE),
                total=len(states),
            ),
            progress=together(self.progress, succeeded, len(states)),
            result=_result([index.result for index in self.indexes]),
            pod_seconds=round(self.pod_seconds, 3),
        )

    def attempts(self) -> Iterator[RunAttempt]:
        """Yield how the present attempt of each index is, or the last one was."""
        for number, index in enumerate(self.indexes):
            how = index.state.value
            if index.message and index.state is not IndexState.SUCCEEDED:
                how = f"{how}: {index.message}"
            yield RunAttempt(number, index.attempt, "this machine", how)

    def _again(self) -> tuple[str, str]:
        """Why an index is started anew, if one is to be."""
        for number, index in enumerate(self.indexes):
            if index.state is IndexState.WAITING and index.message and not self.state.is_final:
                if index.exit_code == EXIT_STOPPED:
                    return "Disrupted", f"index {number} was stopped and is started anew"
                return "Retrying", f"index {number}: {index.message}; it is tried again"
        return "", self.message

    def saved(self) -> bytes:
        """Return what `load` reads from a file."""
        body = {
            "id": self.id,
            "namespace": self.key.namespace,
            "function": self.key.name,
            "launch": asdict(self.launch),
            "created": self.created,
            "started": self.started,
            "finished": self.finished,
            "state": self.state.value,
            "reason": self.reason,
            "message": self.message,
            "podSeconds": self.pod_seconds,
            "cancelled": self.cancelled,
            "indexes": [{**asdict(one), "state": one.state.value} for one in self.indexes],
        }
        return orjson.dumps(body)


def save(content: bytes, folder: Path) -> None:
    """Write a record, whole or not at all; only this user can read it (it has literals)."""
    written = folder / f"{RECORD}.new"
    handle = os.open(written, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(content)
    written.rename(folder / RECORD)


def load(folder: Path) -> RunRecord:
    """Return what `save` wrote; OSError, LookupError, TypeError or ValueError if it is not there.

    An index that was active when it was saved waits: its process has ended with ours.
    """
    found = orjson.loads((folder / RECORD).read_bytes())
    launch = dict(found["launch"])
    addresses = tuple(launch.get("addresses", ()))
    return RunRecord(
        id=found["id"],
        key=FunctionKey(found["namespace"], found["function"]),
        launch=Launch(**{**launch, "command": tuple(launch["command"]), "addresses": addresses}),
        created=found["created"],
        indexes=[_index(one) for one in found["indexes"]],
        state=RunState(found["state"]),
        reason=found["reason"],
        message=found["message"],
        started=found["started"],
        finished=found["finished"],
        pod_seconds=found["podSeconds"],
        cancelled=found["cancelled"],
    )


def _result(results: Sequence[Any]) -> Any:
    if len(results) == 1:
        return results[0]
    return None if all(value is None for value in results) else list(results)


def _index(found: Mapping[str, Any]) -> IndexRecord:
    state = IndexState(found["state"])
    state = IndexState.WAITING if state is IndexState.ACTIVE else state
    return IndexRecord(
        state,
        found["failures"],
        found["exit_code"],
        found["message"],
        found["result"],
        found.get("cut", False),
    )


def input_file(folder: Path) -> Path:
    """Return where a run's input is."""
    return folder / _INPUT


def rfc3339(seconds: float | None) -> str:
    """Return a time as callers are told it, an empty text for none."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
