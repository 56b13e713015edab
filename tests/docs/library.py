"""The documents that are checked: README, CONTRIBUTING, all of docs/, and of the examples."""

from __future__ import annotations

from pathlib import Path

from tests.docs.blocks import Block, Place, Step, blocks, steps

ROOT = Path(__file__).resolve().parents[2]


def documents() -> list[Path]:
    """Return the documents, relative to the checkout."""
    folders = sorted([*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *folders]
    return [path.relative_to(ROOT) for path in found]


def blocks_of(document: Path) -> list[Block]:
    """Return a document's fenced blocks."""
    return list(blocks(document, (ROOT / document).read_text()))


def runnable(place: Place) -> dict[str, list[Step]]:
    """Return each document that has something to run at a place, with its steps."""
    found = {str(path): steps(blocks_of(path), place) for path in documents()}
    return {path: wanted for path, wanted in found.items() if wanted}
