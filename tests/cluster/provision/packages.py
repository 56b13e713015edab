"""The package clients of this machine, and the Debian packages it lacks to run Docker by itself."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from .commands import MINUTE, ProvisionFailed, run, step, succeeds

DAEMON_COMMANDS = {
    "docker": "docker.io",
    "dockerd": "docker.io",
    "containerd": "containerd",
    "iptables": "iptables",
    "jq": "jq",
}
BUILD_COMMANDS = {"debootstrap": "debootstrap"}
DEBIAN_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# Without systemd the packages' own scripts would start the daemons, but without the settings they
# need here; in run level 1 they start none.
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}


def ensure(commands: Mapping[str, str]) -> None:
    """Installs the package of each command that is not there."""
    missing = {package for command, package in commands.items() if not shutil.which(command)}
    if commands is BUILD_COMMANDS and not DEBIAN_KEYS.exists():
        missing.add("debian-archive-keyring")
    if not missing:
        return
    _refuse_where_apt_cannot_install(missing)
    with step(f"install {' '.join(sorted(missing))}"):
        _install(missing)
        # Debian 13 has the client in a package of its own, which Debian 12 does not know.
        if "docker.io" in missing and not shutil.which("docker"):
            _install({"docker-cli"})


def pip() -> tuple[str, ...]:
    """How to call pip: a virtual environment may have none of its own."""
    own = (sys.executable, "-m", "pip")
    return own if succeeds(*own, "--version") else ("pip3",)


def _refuse_where_apt_cannot_install(missing: set[str]) -> None:
    wanted = " ".join(sorted(missing))
    if not shutil.which("apt-get"):
        raise ProvisionFailed(f"install by hand, this is not Debian or Ubuntu: {wanted}")
    if os.geteuid() != 0:
        raise ProvisionFailed(f"only root can install: apt-get install {wanted}")


def _install(packages: set[str]) -> None:
    run("apt-get", "update", "-qq", environ=QUIET, timeout=5 * MINUTE)
    run(
        *("apt-get", "install", "-qq", "-y", "--no-install-recommends", *sorted(packages)),
        environ=QUIET,
        timeout=10 * MINUTE,
    )
