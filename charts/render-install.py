#!/usr/bin/env python3
"""Write dist/install.yaml: the kinds and the chart with its defaults, for kubectl alone.

    charts/render-install.py [HELM] [--set image.tag=… and other arguments of helm template]

Apply it on the server's side, as the kinds are too large for kubectl's own annotation:
kubectl apply --server-side -f dist/install.yaml
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMESPACE = "torpor-system"
HEADER = f"""\
# Torpor, for kubectl: kubectl apply --server-side -f install.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
---
"""


def rendered(helm: str, arguments: list[str]) -> str:
    """Return the whole file; CalledProcessError when helm refuses."""
    kinds = "---\n".join(path.read_text() for path in sorted((ROOT / "crds").glob("*.yaml")))
    command = [helm, "template", "torpor", str(ROOT / "charts" / "torpor")]
    command += ["--namespace", NAMESPACE, "--skip-tests", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    objects = done.stdout.replace("app.kubernetes.io/managed-by: Helm\n", _BY_KUBECTL)
    return HEADER + kinds + objects


_BY_KUBECTL = "app.kubernetes.io/managed-by: kubectl\n"


def main(arguments: list[str]) -> int:
    """Write the file and say where it is."""
    named = bool(arguments) and not arguments[0].startswith("-")
    helm = arguments[0] if named else "helm"
    text = rendered(helm, arguments[1:] if named else arguments)
    target = ROOT / "dist" / "install.yaml"
    target.parent.mkdir(exist_ok=True)
    target.write_text(text)
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
