"""What people read: tables, ages, bars; and what programs read: JSON and YAML."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml

from torpor.resources.conditions import moment

BAR_WIDTH = 40
FORMATS = ("table", "json", "yaml")


def terminal_width() -> int | None:
    """Return how many characters a line of the terminal has; None where the output is no terminal.

    What is not shown to a person is never cut.
    """
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return columns as wide as their widest cell, three spaces apart."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(header))]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "   ".join(padded).rstrip()


def document(value: Any, kind: str) -> str:
    """Return a value as JSON or, for any other `kind`, as YAML."""
    if kind == "json":
        return json.dumps(value, indent=2)
    return yaml.safe_dump(value, sort_keys=False).rstrip()


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun: 1 event, 2 events."""
    return f"{number} {one if number == 1 else many}"


def age(since: str | None, now: datetime) -> str:
    """Return how long ago an RFC 3339 time is, as kubectl writes it: 42s, 5m, 3h, 12d."""
    if not since:
        return "-"
    seconds = max(0, int((now - moment(since)).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def bars(values: Mapping[str, float], unit: str) -> list[str]:
    """Return one line for each value: its name, its size, and a bar of its share of the sum."""
    total = sum(values.values()) or 1.0
    names = max((len(name) for name in values), default=0)
    sizes = max((len(f"{value:.0f}") for value in values.values()), default=0)
    lines = []
    for name, value in values.items():
        bar = "█" * round(BAR_WIDTH * value / total)
        lines.append(f"{name:<{names}}  {value:>{sizes}.0f} {unit}  {bar}".rstrip())
    return lines
