"""What `torpor dev` shows once a second: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from torpor.dev.executions import ExecutionRow
from torpor.dev.rows import Row
from torpor.dev.session import Session
from torpor.resources.load import PHASES, ColdStart
from torpor.resources.run import Run

if TYPE_CHECKING:
    from torpor.triggers.standings import Standing

_SECONDS = 1.0
_BAR_CELLS = 10
_COLOURED = tuple(zip(PHASES, ("blue", "cyan", "magenta", "yellow", "green"), strict=True))


async def show(session: Session, console: Console) -> None:
    """Show the session until cancelled."""
    if console.is_terminal:
        await _show_table(session, console)
    else:
        await _show_lines(session, console)


async def _show_table(session: Session, console: Console) -> None:
    with Live(_all(session), console=console, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(_SECONDS)
            live.update(_all(session), refresh=True)


async def _show_lines(session: Session, console: Console) -> None:
    shown: dict[str, str] = {}
    while True:
        for row in session.rows():
            line = plain_line(row)
            if shown.get(str(row.key)) != line:
                shown[str(row.key)] = line
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        for run in reversed(session.run_rows()):
            line = run_line(run)
            if shown.get(f"run {run.id}") != line:
                shown[f"run {run.id}"] = line
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        for execution in reversed(session.execution_rows()):
            line = execution_line(execution)
            if shown.get(execution.arn) != line:
                shown[execution.arn] = line
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        for trigger in session.trigger_rows():
            line = trigger_line(trigger)
            if shown.get(f"trigger {trigger.key}") != line:
                shown[f"trigger {trigger.key}"] = line
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        await asyncio.sleep(_SECONDS)


def plain_line(row: Row) -> str:
    """Return one function as a line of text."""
    load = row.load
    parts = [
        f"{row.key} {row.state}",
        f"replicas={row.ready}/{row.replicas}",
        f"in-flight={load.in_flight + load.queued}",
        f"held={load.held}",
        f"requests={load.requests}",
    ]
    if row.cold_start:
        parts.append(f"cold-start={row.cold_start.total_ms:.0f}ms")
    return "  ".join([*parts, row.reason])


def run_line(run: Run) -> str:
    """Return one run of a Job Function as a line of text; progress by the tenth of the way."""
    ratio = (run.progress or {}).get("ratio")
    parts = [
        f"{run.key} run {run.id} {run.state.value}",
        "" if ratio is None else f"{int(ratio * 10) * 10}%",
        _why(run),
    ]
    return "  ".join(part for part in parts if part)


def _why(run: Run) -> str:
    return ": ".join(part for part in (run.reason, run.message) if part)


def execution_line(row: ExecutionRow) -> str:
    """Return one execution as a line of text."""
    parts = [f"{row.workflow} execution {row.name} {row.status}", *row.states]
    return "  ".join([*parts, row.error] if row.error else parts)


def trigger_line(row: Standing) -> str:
    """Return one Trigger as a line of text."""
    counts = f"lag={row.lag}  waiting={row.waiting}  dead-letters={row.dead_letters}"
    return f"{row.key} trigger {row.reason}  {counts}  {row.message}".rstrip()


def _all(session: Session) -> RenderableType:
    parts: list[RenderableType] = [_table(session)]
    if runs := session.run_rows():
        parts.append(_runs(runs))
    if triggers := session.trigger_rows():
        parts.append(_triggers(triggers))
    if executions := session.execution_rows():
        parts.append(_executions(executions))
    return Group(*parts)


def _triggers(rows: Sequence[Standing]) -> Table:
    table = Table(title="triggers", box=SIMPLE_HEAD, expand=True)
    for name in ("trigger", "lag", "waiting", "dead letters"):
        table.add_column(name, no_wrap=True)
    table.add_column("state", ratio=1)
    for row in rows:
        counts = (row.lag, row.waiting, row.dead_letters)
        told = f"{row.reason} {row.message}".strip()
        table.add_row(str(row.key), *map(str, counts), Text(told))
    return table


def _runs(rows: Sequence[Run]) -> Table:
    table = Table(title="runs", box=SIMPLE_HEAD, expand=True)
    for name in ("function", "run", "state", "progress", "indexes"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", ratio=1)
    for run in rows:
        ratio = (run.progress or {}).get("ratio")
        told = "" if ratio is None else f"{ratio:.0%}"
        indexes = f"{run.indexes.succeeded}/{run.indexes.total}"
        table.add_row(str(run.key), run.id, run.state.value, told, indexes, Text(_why(run)))
    return table


def _executions(rows: Sequence[ExecutionRow]) -> Table:
    table = Table(title="executions", box=SIMPLE_HEAD, expand=True)
    for name in ("workflow", "execution", "status", "seconds"):
        table.add_column(name, no_wrap=True)
    table.add_column("state", ratio=1)
    for row in rows:
        told = ", ".join(row.states) or row.error or ""
        table.add_row(row.workflow, row.name, row.status, f"{row.seconds:.1f}", Text(told))
    return table


def _table(session: Session) -> Table:
    table = Table(
        title=f"torpor dev  {session.url}", caption=_caption(session), box=SIMPLE_HEAD, expand=True
    )
    for name in ("function", "state", "ready", "in flight", "held", "cold start"):
        table.add_column(name, no_wrap=True)
    table.add_column("last decision", ratio=1)
    for row in session.rows():
        table.add_row(
            str(row.key),
            row.state,
            f"{row.ready}/{row.replicas}",
            str(row.load.in_flight + row.load.queued),
            str(row.load.held),
            _cold(row.cold_start),
            Text(row.reason),
        )
    return table


def _caption(session: Session) -> Text:
    if session.problem:
        return Text(session.problem, style="red")
    legend = Text("cold start: ")
    for phase, colour in _COLOURED:
        legend.append("█", style=colour).append(f" {phase} ")
    return legend


def _cold(cold_start: ColdStart | None) -> Text:
    if cold_start is None:
        return Text()
    return bar(cold_start.phases).append(f" {cold_start.total_ms:.0f} ms")


def bar(phases: Mapping[str, float]) -> Text:
    """Return the phases as a bar in colours, each as long as its share."""
    total = sum(phases.values()) or 1.0
    drawn = Text()
    for phase, colour in _COLOURED:
        drawn.append("█" * round(_BAR_CELLS * phases.get(phase, 0.0) / total), style=colour)
    return drawn
