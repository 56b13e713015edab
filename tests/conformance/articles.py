"""Where articles on serverless patterns are, whose handlers must run here as they are printed.

The folder is not part of this repository: `TORPOR_ARTICLES` names it, else it is looked for beside
the checkout. Tests that need it are skipped where it is absent.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "articles"


def folder() -> Path:
    """The folder with one text file for each article; it may not exist."""
    return Path(os.environ.get("TORPOR_ARTICLES") or _BESIDE)


def lines_with(phrase: str) -> list[str]:
    """The lines of the one article that has `phrase`; the test is skipped where there is none."""
    for path in sorted(folder().glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        if phrase in text:
            return text.splitlines()
    pytest.skip(f"no article with {phrase!r}: {folder()} has none, set TORPOR_ARTICLES")
