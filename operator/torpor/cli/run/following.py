"""Follows a run until it is final: a bar in a terminal, a line for each change elsewhere."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torpor.cli.fnwait import NotInTime
from torpor.cli.gatewayreach import Gateway
from torpor.cli.run import gateway, texts
from torpor.cli.run.values import RunName
from torpor.resources.run import Run

_LOOK_SECONDS = 1
_QUIET_LOOK_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a run is followed; None: until it ends."""

    seconds: float | None = None

    @classmethod
    def of(cls, args: argparse.Namespace) -> Patience:
        """Return what --timeout says."""
        return cls(args.timeout)


class Shows(Protocol):
    """Shows a run as it goes on."""

    def __enter__(self) -> Callable[[Run], None]:
        """Begin; what is returned takes the run as it is now."""

    def __exit__(self, *error: object) -> None:
        """End."""


async def follow(way: Gateway, name: RunName, patience: Patience) -> Run:
    """Return the run as it ended, its progress shown on stderr meanwhile; NotInTime."""
    clock = asyncio.get_running_loop().time
    deadline = None if patience.seconds is None else clock() + patience.seconds
    shown: Shows = _Bar() if sys.stderr.isatty() else _Lines()
    with shown as tell:
        while True:
            left = _QUIET_LOOK_SECONDS if deadline is None else deadline - clock()
            if left <= 0:
                raise NotInTime(f"{name} has not ended within {patience.seconds:g} s (--timeout)")
            run = await gateway.wait(way, name, min(_LOOK_SECONDS, max(1, int(left))))
            tell(run)
            if run.state.is_final:
                break
    print(texts.ended(run), file=sys.stderr)
    return run


class _Lines:
    """One line each time that something is another than before, each tenth of the way at most."""

    def __init__(self) -> None:
        self._last: tuple[object, ...] = ()

    def __enter__(self) -> Callable[[Run], None]:
        return self._tell

    def __exit__(self, *error: object) -> None:
        return None

    def _tell(self, run: Run) -> None:
        ratio = (run.progress or {}).get("ratio")
        now = (run.state, run.reason, run.message, int((ratio or 0) * 10))
        if now == self._last or run.state.is_final:
            return
        self._last = now
        parts = (run.state.value, texts.told_progress(run), run.reason, run.message)
        print("  ".join(part for part in parts if part), file=sys.stderr, flush=True)


class _Bar:
    """A bar with the share that is done, the speed and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[told]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("Pending", total=None, told="")

    def __enter__(self) -> Callable[[Run], None]:
        self._progress.start()
        return self._tell

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def _tell(self, run: Run) -> None:
        ratio = (run.progress or {}).get("ratio")
        told = texts.told_progress(run) or ": ".join(filter(None, (run.reason, run.message)))
        self._progress.update(
            self._task,
            description=run.state.value,
            total=None if ratio is None else 1.0,
            completed=ratio or 0.0,
            told=told,
        )
