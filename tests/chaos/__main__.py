"""Runs every chaos test of the project once: `python -m tests.chaos`, or `make test-chaos`.

TORPOR_CHAOS_KILLS, _EXECUTIONS, _EVENTS and _FROZEN_SECONDS say how much; here it is what fits into
minutes, unless they say otherwise.
"""

from __future__ import annotations

import os
import sys

import pytest

from tests.chaos.report import elsewhere
from tests.run import CHAOS


def main() -> int:
    """Return pytest's exit status."""
    for name, value in CHAOS.items():
        os.environ.setdefault(name, value)
    return int(pytest.main(["-q", "tests/chaos", *elsewhere(), *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
