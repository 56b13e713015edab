#!/usr/bin/env python3
"""Copy crds/ into the chart torpor-crds; with --check, only say whether the copies are right.

The copies differ from their sources in one annotation, which makes Helm keep the kinds (and with
them every object of a user) when the release is removed.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "crds"
COPIES = ROOT / "charts" / "torpor-crds" / "templates"
KEEP = "metadata:\n  annotations:\n    helm.sh/resource-policy: keep\n"
HEADER = "# Made by charts/sync-crds.py from crds/{name}: edit that one.\n"


def copy_of(source: Path) -> str:
    """Return what the chart's copy of `source` must be."""
    text = source.read_text()
    if text.count("\nmetadata:\n") != 1:
        raise ValueError(f"{source}: expected one top-level metadata")
    return HEADER.format(name=source.name) + text.replace("metadata:\n", KEEP, 1)


def main(arguments: list[str]) -> int:
    """Write the copies, or with --check return 1 if one is not as it should be."""
    wanted = {COPIES / source.name: copy_of(source) for source in sorted(SOURCES.glob("*.yaml"))}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale; run charts/sync-crds.py")
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
