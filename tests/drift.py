"""Checks that what is generated agrees with its sources; `--write` generates it anew.

Generated: the CRD chart's templates (from crds/), dist/install.yaml (from the charts), and
docs/reference (from CRDs, metrics, settings and the command line). Documents are checked as well:
every command in them has to say where the tests run it (tests/docs).
"""

from __future__ import annotations

import argparse
import os
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.docs import rules

ROOT = Path(__file__).parent.parent


def script(path: str) -> dict[str, Any]:
    """Return the names that the script at `path` defines."""
    return runpy.run_path(str(ROOT / path))


def chart_crds() -> dict[Path, str]:
    """Return the CRD chart's templates."""
    sync = script("charts/sync-crds.py")
    sources = sorted((ROOT / "crds").glob("*.yaml"))
    copies: Path = sync["COPIES"]
    return {(copies / source.name).relative_to(ROOT): sync["copy_of"](source) for source in sources}


def install_yaml() -> dict[Path, str]:
    """Return dist/install.yaml: the kinds and the chart with its default values."""
    helm = shutil.which("helm", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if helm is None:
        print("helm is not here: dist/install.yaml is not checked")
        return {}
    text: str = script("charts/render-install.py")["rendered"](helm, [])
    return {Path("dist/install.yaml"): text}


def reference() -> dict[Path, str]:
    """Return the pages of docs/reference."""
    pages: dict[Path, str] = script("docs/generate.py")["pages"]()
    return pages


def main() -> int:
    """Check, or write with `--write`; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.drift", description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    crds = chart_crds()
    if write:  # install.yaml is rendered from these files
        _write(crds)
    wanted = {**crds, **reference(), **install_yaml()}
    if write:
        _write(wanted)
        return 0
    stale = [path for path, text in wanted.items() if _read(path) != text]
    for path in stale:
        print(f"{path} does not agree with its source: run `make manifests`")
    wrong = list(rules.problems())
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if stale or wrong else 0


def _read(path: Path) -> str | None:
    file = ROOT / path
    return file.read_text() if file.exists() else None


def _write(files: dict[Path, str]) -> None:
    for path, text in files.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)


if __name__ == "__main__":
    sys.exit(main())
