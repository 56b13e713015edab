"""Checks that what is generated agrees with its sources; `--write` generates it anew.

Generated: the CRD chart's templates (from crds/), dist/install.yaml (from the charts), and
docs/reference (from CRDs, metrics, settings and the command line).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).parent.parent
KEEP = "    helm.sh/resource-policy: keep"


def chart_crds() -> dict[Path, str]:
    """Return the CRD chart's templates: each CRD, kept when the chart is uninstalled."""
    templates = {}
    for source in sorted((ROOT / "crds").glob("*.yaml")):
        text = source.read_text()
        if "  annotations:\n" not in text:
            raise SystemExit(f"{source.name}: metadata.annotations is where the chart adds its own")
        kept = text.replace("  annotations:\n", f"  annotations:\n{KEEP}\n", 1)
        escaped = kept.replace("{{", '{{ "{{" }}')
        templates[Path("charts/torpor-crds/templates") / source.name] = escaped
    return templates


def install_yaml() -> dict[Path, str]:
    """Return dist/install.yaml: both charts rendered with their default values."""
    helm = shutil.which("helm", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if helm is None:
        print("helm is not here: dist/install.yaml is not checked")
        return {}
    parts = [_namespace()]
    for chart in ("torpor-crds", "torpor"):
        command = [helm, "template", chart, f"charts/{chart}", "--namespace", "torpor-system"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        parts.append(done.stdout)
    return {Path("dist/install.yaml"): "".join(parts)}


def _namespace() -> str:
    return "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: torpor-system\n"


def reference() -> dict[Path, str]:
    """Return the pages of docs/reference."""
    spec = spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[Path, str] = module.pages()
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
    return 1 if stale else 0


def _read(path: Path) -> str | None:
    file = ROOT / path
    return file.read_text() if file.exists() else None


def _write(files: dict[Path, str]) -> None:
    for path, text in files.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)


if __name__ == "__main__":
    sys.exit(main())
