"""`python -m tests.conformance`: a line a suite, and what is not the same with the reason."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conformance.recorded import folder


def main() -> int:
    """Run every suite with nothing printed but what the suites print; 0 if all is as expected."""
    if not folder().is_dir():
        print(f"no recorded cases: {folder()} is absent, set TORPOR_CONFORMANCE", file=sys.stderr)
        return 2
    quiet = ["-s", "-p", "no:terminal", "-o", "addopts="]
    code = pytest.main([*quiet, str(Path(__file__).parent)])
    if code:
        print("what differs in full: python -m pytest tests/conformance", file=sys.stderr)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
