"""What people read: tables, ages, bars; and what programs read: JSON, YAML and names.

Whatever lists or shows something prints it by `print_items` or `print_item`, so that `-o` means
the same everywhere.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from torpor.resources.conditions import moment
from torpor.resources.names import GROUP

BAR_WIDTH = 40


class Form(StrEnum):
    """What `-o` may be; equal to its text."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its heading, and what it says of a thing; `wide`: with -o wide."""

    header: str
    cell: Callable[[Any], str]
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """How things of one kind are printed: their name for `-o name`, and their columns."""

    name: Callable[[Any], str]
    columns: Sequence[Column] = ()


def print_items(form: str, items: Sequence[Any], kind: Kind, field: str = "items") -> None:
    """Print things of one kind as `-o` asks; JSON and YAML have them in a field of that name."""
    if form in (Form.JSON, Form.YAML):
        print(document({field: list(items)}, form))
    elif form == Form.NAME:
        print("".join(f"{kind.name(item)}\n" for item in items), end="")
    else:
        print(columns_table(items, [it for it in kind.columns if form == Form.WIDE or not it.wide]))


def print_item(form: str, item: Any, name: str, text: Callable[[], str]) -> None:
    """Print one thing as `-o` asks; `text` makes what people read."""
    if form in (Form.JSON, Form.YAML):
        print(document(item, form))
    else:
        print(name if form == Form.NAME else text())


def object_name(plural: str, name: str) -> str:
    """Return the name of one of our objects as kubectl prints it with `-o name`."""
    return f"{plural.removesuffix('s')}.{GROUP}/{name}"


def terminal_width() -> int | None:
    """Return how many characters a line of the terminal has; None where the output is no terminal.

    What is not shown to a person is never cut.
    """
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def columns_table(items: Iterable[Any], columns: Sequence[Column]) -> str:
    """Return a table with a line for each thing."""
    rows = [[column.cell(item) for column in columns] for item in items]
    return table([column.header for column in columns], rows)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return columns as wide as their widest cell, three spaces apart; a row is a line."""
    lines = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(header))]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "   ".join(padded).rstrip()


def printable(text: str) -> str:
    """Return the text on one line, with spaces for whatever steers a terminal or hides in it.

    What is shown of a cluster may be anybody's words.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " for letter in text)


def facts(pairs: Mapping[str, str]) -> list[str]:
    """Return one line for each name and value, the values below each other."""
    width = max(map(len, pairs), default=0)
    return [f"{name:<{width}}  {value}".rstrip() for name, value in pairs.items()]


def document(value: Any, kind: str) -> str:
    """Return a value as JSON or, for any other `kind`, as YAML."""
    if kind == Form.JSON:
        return json.dumps(value, indent=2)
    import yaml  # a sixth of the time that a table takes

    return str(yaml.safe_dump(value, sort_keys=False)).rstrip()


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


def bars(values: Mapping[str, float], unit: str, width: int | None = None) -> list[str]:
    """Return one line for each value: its name, its size, and a bar of its share of the sum.

    No line has more than `width` characters, as far as name and size leave room for a bar.
    """
    total = sum(values.values()) or 1.0
    names = max((len(name) for name in values), default=0)
    sizes = max((len(f"{value:.0f}") for value in values.values()), default=0)
    room = BAR_WIDTH if width is None else width - names - sizes - len(unit) - 5
    lines = []
    for name, value in values.items():
        bar = "█" * round(max(1, min(BAR_WIDTH, room)) * value / total)
        lines.append(f"{name:<{names}}  {value:>{sizes}.0f} {unit}  {bar}".rstrip())
    return lines
