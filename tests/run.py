"""`make test`: runs every suite that this machine can run and prints one summary.

The cluster is brought up first; while its ten quiet minutes are counted (the controller must not
write), the suites that need no cluster run beside it. What is skipped is listed with its reason;
with TORPOR_ALLOW_SKIPS=0 a skip is a failure.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

PROVISION = [sys.executable, "-m", "tests.cluster.provision"]
QUIET = "tests/cluster/test_quiet.py"


@dataclass(frozen=True, slots=True)
class Suite:
    """A name for the summary and the paths and options that pytest is given."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What one suite's run came to."""

    name: str
    passed: int
    failed: int
    skipped: tuple[str, ...]
    seconds: float


WITHOUT_CLUSTER = (
    Suite("unit", ("tests/unit",)),
    Suite("property", ("tests/property",)),
    Suite("integration", ("tests/integration",)),
)
ON_CLUSTER = Suite("cluster", ("tests/cluster", f"--ignore={QUIET}"))
QUIET_SUITE = Suite("cluster, quiet", (QUIET, "--timeout=900"))


class Running:
    """A pytest process that reports into a JUnit file."""

    def __init__(self, suite: Suite, environment: dict[str, str]) -> None:
        self._suite = suite
        self._report = Path(tempfile.mkstemp(suffix=".xml")[1])
        self._started = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={self._report}"]
        self._process = subprocess.Popen(
            [*command, *suite.arguments], env={**environment, "PYTHONUNBUFFERED": "1"}
        )

    def result(self) -> Result:
        """Wait for the end and return the counts; a crash of pytest counts as one failure."""
        code = self._process.wait()
        seconds = time.monotonic() - self._started
        passed, failed, skipped = _counts(self._report)
        self._report.unlink()
        if code not in (0, 1, 5) or (code == 1 and not failed):
            failed += 1
        return Result(self._suite.name, passed, failed, skipped, seconds)


def _counts(report: Path) -> tuple[int, int, tuple[str, ...]]:
    if not report.stat().st_size:
        return 0, 1, ()
    passed = failed = 0
    skipped = []
    for case in ET.parse(report).getroot().iter("testcase"):
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skip is not None:
            skipped.append(f"{case.get('classname')}.{case.get('name')}: {skip.get('message')}")
        else:
            passed += 1
    return passed, failed, tuple(skipped)


def cluster_environment() -> dict[str, str]:
    """Return the environment in which the provisioned cluster's tools and kubeconfig are found."""
    lines = subprocess.run([*PROVISION, "env"], check=True, capture_output=True, text=True).stdout
    script = f"{lines}\nenv -0"
    out = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout
    return dict(item.split("=", 1) for item in out.split("\0") if "=" in item)


def bring_up_cluster() -> str | None:
    """Return None when the cluster is up with this checkout installed, else what is missing."""
    command = ["make", "--no-print-directory", "cluster"]
    if subprocess.run(command, check=False).returncode == 0:
        return None
    return f"`{shlex.join(command)}` failed (its output is above)"


def run(*, without_cluster: bool) -> list[Result]:
    """Run all suites; the quiet minutes of the cluster overlap with the suites beside it."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    plain = {**os.environ, "PATH": tools}
    started = time.monotonic()
    missing = "not asked for" if without_cluster else bring_up_cluster()
    if missing:
        results = [Running(suite, plain).result() for suite in WITHOUT_CLUSTER]
        failed = 0 if without_cluster else 1
        return [*results, Result("cluster", 0, failed, (f"tests/cluster: {missing}",), 0.0)]
    up = Result("make cluster", 1, 0, (), time.monotonic() - started)
    inside = cluster_environment()
    quiet = Running(QUIET_SUITE, inside)
    results = [Running(suite, plain).result() for suite in WITHOUT_CLUSTER]
    return [up, *results, quiet.result(), Running(ON_CLUSTER, inside).result()]


def summarise(results: list[Result]) -> int:
    """Print the summary and return the process's exit code."""
    print(f"\n{'suite':<16}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for result in results:
        counts = f"{result.passed:>8}{result.failed:>8}{len(result.skipped):>9}"
        print(f"{result.name:<16}{counts}{result.seconds:>9.0f}")
    skips = [skip for result in results for skip in result.skipped]
    if skips:
        print("\nskipped:", *skips, sep="\n  ")
    failed = sum(result.failed for result in results)
    refused = bool(skips) and os.environ.get("TORPOR_ALLOW_SKIPS") == "0"
    if refused:
        print("\nskips are not allowed in this run")
    passed = sum(result.passed for result in results)
    print(f"\n{passed} passed, {failed} failed, {len(skips)} skipped")
    return 1 if failed or refused else 0


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.run", description=__doc__)
    parser.add_argument("--without-cluster", action="store_true", help="only what needs none")
    arguments = parser.parse_args()
    return summarise(run(without_cluster=arguments.without_cluster))


if __name__ == "__main__":
    sys.exit(main())
