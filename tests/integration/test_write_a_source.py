"""The source that docs/how-to/write-a-source.md writes works as it says."""

from __future__ import annotations

import types
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from tests.docs.library import blocks_of
from tests.support.source_rig import KeptPositions, reading, trigger, world
from torpor.resources.trigger import Source, SourceKind, Trigger
from torpor.triggers.base import OpenSource, SourceAway

DOCUMENT = Path("docs/how-to/write-a-source.md")


def written() -> OpenSource:
    """What the document's module opens."""
    (code,) = (block.text for block in blocks_of(DOCUMENT) if block.language == "python")
    module = types.ModuleType("lines")
    exec(compile(code, str(DOCUMENT), "exec"), module.__dict__)
    return cast(OpenSource, module.__dict__["open_source"])


def lines_of(path: Path) -> Trigger:
    settings: dict[str, Any] = {"path": str(path)}
    return replace(trigger({"http": {}}), source=Source(cast(SourceKind, "lines"), settings))


async def test_lines_come_once_each_and_from_where_they_were_acknowledged(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text('{"n": 1}\nplain\nnot whole')
    around = world(positions=KeptPositions())
    async with reading(written(), lines_of(log), around) as reader:
        first = await reader.take(1)
        assert await reader.hold(1)
    with log.open("a") as file:
        file.write(" now\n")
    async with reading(written(), lines_of(log), around) as reader:
        rest = await reader.take(2)
    assert [event.data for event in first + rest] == [{"n": 1}, "plain", "not whole now"]
    assert [event.id for event in first + rest] == ["9", "15", "29"]


async def test_a_file_that_is_not_there_is_away(tmp_path: Path) -> None:
    async with reading(written(), lines_of(tmp_path / "none"), world()) as reader:
        failure = await reader.failure()
    assert isinstance(failure, SourceAway)
    assert "No such file" in str(failure)
