"""What a run is told about itself by environment variables, and what it leaves behind."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from torpor.checkpoint.checkpoint import Checkpoint
from torpor.checkpoint.errors import BadInput, ResultTooLarge, StoreRefused
from torpor.checkpoint.patience import Patience
from torpor.checkpoint.progress import Progress
from torpor.checkpoint.shares import Shares
from torpor.checkpoint.stopping import GRACE_SECONDS, Stop
from torpor.checkpoint.store import Store
from torpor.checkpoint.unit import LONE_SURROGATES, Record, Unit

log = logging.getLogger(__name__)

MOST_RESULT_BYTES: Final = 4096
"""Kubernetes keeps no more of a container's termination message."""
INTERVAL_SECONDS: Final = 60
MOST_INPUT_BYTES: Final = 1 << 20
_ELLIPSIS: Final = "…"


@dataclass(frozen=True, slots=True)
class Run:
    """One start of the program: share `index` of `completions`, for the `attempt`-th time.

    `interval_seconds` is how much work the Function's owner would lose: about the length of a unit.
    """

    id: str = "local"
    index: int = 0
    completions: int = 1
    attempt: int = 1
    input_path: Path | None = None
    output_path: Path | None = None
    store_url: str = ""
    interval_seconds: int = INTERVAL_SECONDS
    progress_port: int | None = None
    stop: Stop = field(default_factory=Stop)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Run:
        """Return what TORPOR_* and JOB_COMPLETION_INDEX say; raises BadInput for nonsense."""
        given = os.environ if environment is None else environment
        completions = _whole(given, "TORPOR_COMPLETIONS", 1, 1, 1_000_000)
        return cls(
            given.get("TORPOR_RUN_ID") or "local",
            _whole(given, "JOB_COMPLETION_INDEX", 0, 0, completions - 1),
            completions,
            _whole(given, "TORPOR_FAILURES", 0, 0, 1_000_000) + 1,
            _path(given, "TORPOR_INPUT"),
            _path(given, "TORPOR_OUTPUT"),
            given.get("TORPOR_CHECKPOINT", ""),
            _whole(given, "TORPOR_CHECKPOINT_SECONDS", INTERVAL_SECONDS, 1, 86_400),
            _whole(given, "TORPOR_PROGRESS_PORT", 0, 0, 65_535) or None,
            Stop(_seconds(given, "TORPOR_GRACE_SECONDS", GRACE_SECONDS)),
        )

    def input(self) -> Any:
        """Return the run's input as JSON, None if there is none; raises BadInput."""
        if self.input_path is None or not self.input_path.exists():
            return None
        if self.input_path.stat().st_size > MOST_INPUT_BYTES:
            raise BadInput(f"the input has more than {MOST_INPUT_BYTES} bytes: pass its address")
        try:
            content = self.input_path.read_bytes()
            return json.loads(content) if content.strip() else None
        except (ValueError, RecursionError) as error:
            raise BadInput(f"the input is not JSON: {error}") from None

    def store(self) -> Store:
        """Open the store of the run's checkpoints, which stops waiting when the run is stopped.

        Raises StoreRefused if the run has none.
        """
        if not self.store_url:
            raise StoreRefused(
                "this run has no store for its checkpoints: set spec.job.checkpoint.store of the"
                " Function, or TORPOR_CHECKPOINT to an address or a folder"
            )
        return self.open(self.store_url)

    def open(self, url: str) -> Store:
        """Open any store, such as that of the input; it stops waiting when the run is stopped."""
        return Store.open(url, patience=Patience(pause=self.stop.pause))

    def checkpoint(self, prefix: str) -> Checkpoint:
        """Return the work that is kept under that name in the run's store.

        The name decides what is resumed: make it of what the work is (`hash_of` the input), so that
        a second run of the same work goes on where the first ended. Raises ValueError if it is
        empty.
        """
        if not prefix.strip("/"):
            raise ValueError("the work needs a name, under which it is kept")
        return Checkpoint(self.store(), prefix, stop=self.stop, attempt=self.attempt)

    def left(self, work: Checkpoint, units: Sequence[Unit]) -> list[Unit]:
        """Return what this index has to make now; commit all of it, and ask again until it is none.

        That is its share of the units, then what is missing of the shares of all indexes that have
        made theirs: the last one also makes what was lost after its index had ended.
        """
        return self._shares().left(work, units)

    def gather(self, work: Checkpoint, units: Sequence[Unit]) -> dict[Unit, Record] | None:
        """Return the records of all units when nothing is left, None while others make theirs.

        Raises UnitDamaged if a unit was lost meanwhile: ask what is left again.
        """
        return self._shares().gather(work, units)

    def share(self, units: Sequence[Unit]) -> Sequence[Unit]:
        """Return this index's share of the units, made or not."""
        return self._shares().share(units, self.index)

    def _shares(self) -> Shares:
        return Shares(self.id, self.index, self.completions)

    def progress(self, total: float | None, unit: str = "units", *, done: float = 0) -> Progress:
        """Return a new count, served from now on if the run has a port for it."""
        progress = Progress(total, unit, done=done)
        if self.progress_port:
            self._serve(progress, self.progress_port)
        return progress

    def _serve(self, progress: Progress, port: int) -> None:
        """Serve it if that can be done: a run is not worth less for being watched less."""
        from torpor.checkpoint.serving import serve

        try:
            serve(progress, port)
        except OSError as error:
            log.warning("nobody can ask for the progress: port %d: %s", port, error)

    def result(self, value: object) -> None:
        """Write the run's result: JSON of 4 KiB, or an object in the store if it is larger.

        Raises ResultTooLarge if it is larger and there is no store.
        """
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        content = text.encode(errors=LONE_SURROGATES)
        if len(content) > MOST_RESULT_BYTES and self.output_path:
            content = json.dumps({"object": self._kept(content)}).encode()
        self._write(content)

    def failed(self, reason: str) -> None:
        """Write why the run has no result, cut to what fits."""
        reason = " ".join(reason.split())
        while len(content := _error(reason)) > MOST_RESULT_BYTES:
            over = len(content) - MOST_RESULT_BYTES
            reason = reason[: -max(over // 6, 2)].removesuffix(_ELLIPSIS) + _ELLIPSIS
        self._write(content)

    def _kept(self, content: bytes) -> str:
        if not self.store_url:
            raise ResultTooLarge(
                f"the result has {len(content)} bytes, and only {MOST_RESULT_BYTES} fit into the"
                " run's status: set spec.job.checkpoint.store, where larger ones are kept"
            )
        store, key = self.store(), f"results/{self.id}/{self.index}.json"
        store.put(key, content)
        return store.url_of(key)

    def _write(self, content: bytes) -> None:
        """Write in place: in a pod the file is mounted, and cannot be replaced by another."""
        if self.output_path:
            self.output_path.write_bytes(content)


def _error(reason: str) -> bytes:
    return json.dumps({"error": reason}, ensure_ascii=False).encode(errors="replace")


def _path(given: Mapping[str, str], name: str) -> Path | None:
    return Path(given[name]) if given.get(name) else None


def _whole(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name) or str(default)
    if text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most:
        return int(text)
    raise BadInput(f"{name} is {text[:40]!r}: it must be a whole number from {least} to {most}")


def _seconds(given: Mapping[str, str], name: str, default: float) -> float:
    text = given.get(name) or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if 0 <= seconds < 1_000_000:
        return seconds
    raise BadInput(f"{name} is {text[:40]!r}: it must be a number of seconds")
