"""`python -m tests.support.servers install` fetches the servers that tests start, if it can.

Debian's packages as root, none of which is started; Kafka's jars by Maven and versitygw by Go into
`~/.cache/torpor-tests`. What cannot be fetched is told: its tests are skipped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.servers import kafka, versitygw
from tests.support.servers.daemon import program_path

PACKAGES = {
    "mosquitto": "mosquitto",
    "redis-server": "redis-server",
    "rabbitmq-server": "rabbitmq-server",
    "openssl": "openssl",
}
"""The package of each program."""
_POLICY = Path("/usr/sbin/policy-rc.d")
"""Debian asks it before it starts a service (invoke-rc.d); 101 means: do not."""


def main() -> int:
    """Return the exit status: 0 also where something cannot be fetched."""
    if sys.argv[1:] != ["install"]:
        print(__doc__, file=sys.stderr)
        return 2
    missing = [package for program, package in PACKAGES.items() if program_path(program) is None]
    if missing:
        _install_packages(missing)
    if not kafka.available():
        _install_kafka()
    if not versitygw.available():
        _install_versitygw()
    return 0


def _install_packages(missing: list[str]) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"{', '.join(missing)}: not installed; their tests will be skipped")
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    with _no_services():
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", "-qq", *arguments], check=True, env=environment)


def _install_kafka() -> None:
    if shutil.which("mvn") is None or shutil.which("java") is None:
        print("Kafka: not installed, as it needs java and mvn; its tests will be skipped")
        return
    kafka.install()


def _install_versitygw() -> None:
    if shutil.which("go") is None:
        print("versitygw: not installed, as it needs go; its tests will be skipped")
        return
    versitygw.install()


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Let no package start what it brings, unless somebody decided on that already."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


if __name__ == "__main__":
    sys.exit(main())
