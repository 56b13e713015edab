"""Reads a Markdown document as its fenced blocks, and what a comment before each says of it.

The comment is one line of HTML right above the fence, so that readers do not see it:

    <!-- run: local -->             a shell block that needs no cluster
    <!-- run: cluster -->           one that needs `make cluster`
    <!-- not-run: the reason -->    one that nothing runs
    <!-- file: hello/main.py -->    not a command: the content of this file

After the place, separated by commas: `eventually` (repeat until the output is the expected one),
`dry-run` (helm and kubectl change nothing), `background until TEXT` (it goes on beside the blocks
that follow, which begin when it has printed TEXT).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from itertools import zip_longest
from pathlib import Path
from typing import Self

SHELLS = frozenset({"sh", "bash", "shell", "console", "zsh"})
_FENCE = re.compile(r"^( *)(```+|~~~+) *(\S*)")
_COMMENT = re.compile(r"^<!-- *([a-z-]+): *(.+?) *-->$")


class BadMark(ValueError):
    """A comment above a block that says nothing known."""


class Place(Enum):
    """Where a block of commands is run."""

    LOCAL = "local"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Mark:
    """What the comment above a block says."""

    place: Place | None = None
    reason: str = ""
    file: str = ""
    eventually: bool = False
    dry_run: bool = False
    until: str = ""

    @classmethod
    def parse(cls, name: str, value: str) -> Self:
        """Return what a comment says; BadMark names what is not understood."""
        if name == "file":
            return cls(file=value)
        if name == "not-run":
            return cls(reason=value)
        if name != "run":
            raise BadMark(f"{name}: write run, not-run or file")
        place, *options = [part.strip() for part in value.split(",")]
        if place not in {item.value for item in Place}:
            raise BadMark(f"run: {place}: write local or cluster")
        mark = cls(place=Place(place))
        for option in options:
            mark = mark._with(option)
        return mark

    def _with(self, option: str) -> Self:
        if option == "eventually":
            return replace(self, eventually=True)
        if option == "dry-run":
            return replace(self, dry_run=True)
        if option.startswith("background until "):
            return replace(self, until=option.removeprefix("background until "))
        raise BadMark(f"{option}: write eventually, dry-run or background until TEXT")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `line` is its fence's, counted from 1."""

    document: Path
    line: int
    language: str
    text: str
    mark: Mark | None

    @property
    def is_shell(self) -> bool:
        """Whether a person would paste it into a terminal."""
        return self.language in SHELLS

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(document: Path, text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a document in order; BadMark says which comment is wrong."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        if fence is None:
            number += 1
            continue
        indent, ticks, language = fence.groups()
        end = _end(lines, number + 1, ticks)
        body = [line.removeprefix(indent) for line in lines[number + 1 : end]]
        mark = _mark(document, lines, number)
        content = "\n".join([*body, ""])
        yield Block(document, number + 1, language, content, mark)
        number = end + 1


def _end(lines: list[str], start: int, ticks: str) -> int:
    ends = (n for n in range(start, len(lines)) if lines[n].strip() == ticks)
    return next(ends, len(lines))


def _mark(document: Path, lines: list[str], fence: int) -> Mark | None:
    found = _COMMENT.match(lines[fence - 1].strip()) if fence else None
    if found is None:
        return None
    try:
        return Mark.parse(*found.groups())
    except BadMark as error:
        raise BadMark(f"{document}:{fence}: {error}") from None


@dataclass(frozen=True, slots=True)
class Step:
    """A block that is done in its turn: a file to write, or commands and what they print."""

    block: Block
    expected: str = ""


def steps(found: list[Block], place: Place) -> list[Step]:
    """Return what is done of a document at a place; none if nothing of it is run there.

    A `text` block is what the shell block before it prints.
    """
    wanted = []
    for block, after in zip_longest(found, found[1:]):
        mark = block.mark
        if mark is None or not (mark.file or mark.place is place):
            continue
        shown = after.text if after is not None and after.language == "text" else ""
        wanted.append(Step(block, shown if block.is_shell else ""))
    runs = any(step.block.is_shell for step in wanted)
    return wanted if runs else []
