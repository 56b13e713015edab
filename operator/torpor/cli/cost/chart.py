"""Two lines over the number of requests, drawn with characters; on a terminal in colour."""

from __future__ import annotations

from decimal import Decimal
from typing import TextIO

from rich.console import Console
from rich.text import Text

from torpor.cli.cost.texts import count, money
from torpor.telemetry.cost import Comparison

WIDTH, HEIGHT = 60, 12
_SERVERLESS, _ALWAYS_ON, _BOTH = "/", "-", "X"
_COLOURS = {_SERVERLESS: "cyan", _ALWAYS_ON: "yellow", _BOTH: "bold green"}


def show(comparison: Comparison, out: TextIO) -> None:
    """Print the chart and what its lines are."""
    console = Console(file=out, highlight=False, soft_wrap=True)
    for line in drawn(comparison):
        console.print(_coloured(line) if console.is_terminal else Text(line))


def drawn(comparison: Comparison) -> list[str]:
    """Return the lines of the chart: costs upwards, requests to the right."""
    points = comparison.points()
    ends = points[-1]
    steps = [ends * column / (WIDTH - 1) for column in range(WIDTH)]
    most = max(comparison.serverless(ends), comparison.always_on(ends)) or Decimal(1)
    rows = [[" "] * WIDTH for _ in range(HEIGHT)]
    for column, requests in enumerate(steps):
        high = _row(comparison.serverless(requests), most)
        flat = _row(comparison.always_on(requests), most)
        rows[high][column] = _SERVERLESS
        rows[flat][column] = _BOTH if high == flat else _ALWAYS_ON
    return [*_framed(rows, money(most)), *_legend(comparison, ends)]


def _row(value: Decimal, most: Decimal) -> int:
    return HEIGHT - 1 - int(value / most * (HEIGHT - 1))


def _framed(rows: list[list[str]], most: str) -> list[str]:
    margin = max(len(most), 1)
    labels = [most, *[""] * (HEIGHT - 2), "0"]
    lines = [
        f"{label:>{margin}} |{''.join(row)}".rstrip()
        for label, row in zip(labels, rows, strict=True)
    ]
    return [*lines, f"{'':>{margin}} +{'-' * WIDTH}"]


def _legend(comparison: Comparison, ends: Decimal) -> list[str]:
    table, server = comparison.table, comparison.server
    return [
        f"{table.currency} a month for 0 to {count(ends)} requests: {_SERVERLESS} {table.name}, "
        f"{_ALWAYS_ON} {server.name}, {_BOTH} both"
    ]


def _coloured(line: str) -> Text:
    text = Text()
    inside = line.partition("|")
    text.append(inside[0] + inside[1])
    for sign in inside[2]:
        text.append(sign, style=_COLOURS.get(sign, ""))
    return text
