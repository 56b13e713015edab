"""Where the cases recorded from other systems are, and how a test reads them.

The folder is not part of this repository: `TORPOR_CONFORMANCE` names it, else it is looked for
beside the checkout. Tests that need it are skipped where it is absent.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

Case = dict[str, Any]

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "conformance"


def folder() -> Path:
    """The folder with the recorded cases; it may not exist."""
    return Path(os.environ.get("TORPOR_CONFORMANCE") or _BESIDE)


def cases(name: str) -> list[Case]:
    """The rows of one file of cases, such as `asl/lint.jsonl`; none where the file is absent."""
    path = folder() / name
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def needed(name: str) -> list[Case]:
    """The same rows, for a test that is skipped where there are none."""
    found = cases(name)
    if not found:
        pytest.skip(f"no recorded cases: {folder() / name} is absent, set TORPOR_CONFORMANCE")
    return found
