"""`make test`: runs every suite that this machine can run and prints one summary.

The longest thing is a wait: ten minutes in which 50 Functions at zero must cause no write. So the
cluster comes up beside the suites that need none, those minutes begin the moment it is up, and
the cluster tests run within them, except the few whose purpose is to disturb what is counted.
What is skipped is listed with its reason; with TORPOR_ALLOW_SKIPS=0 a skip is a failure.

Many tests kill real processes against real deadlines on a machine that does other things too. So
a few failures of a suite are run once more, by themselves: what fails again has failed, what
passes then is listed as unsteady, to be looked into.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from tests.conformance import recorded

PROVISION = (sys.executable, "-m", "tests.cluster.provision")
BRING_UP = ("make", "--no-print-directory", "cluster")
QUIET = "tests/cluster/test_quiet.py"
DISRUPTION = "tests/cluster/test_disruption.py"
DISTURBING = (
    f"{DISRUPTION}::test_gateway_pod_deleted_loses_nothing",
    f"{DISRUPTION}::test_leader_lost_scaling_goes_on_and_nothing_shrinks",
    "tests/cluster/test_rollouts.py::test_rolling_update_of_torpor_itself_loses_nothing",
    "tests/cluster/test_runs.py::test_a_run_is_left_alone_until_it_is_cancelled",
    "tests/cluster/test_deaths.py::test_an_api_server_that_stands_still_disturbs_no_warm_traffic",
    # The last, as it looks back on what all of them asked for.
    "tests/cluster/test_rbac.py::test_what_is_granted_is_used_and_nothing_else_is_asked_for",
)
"""They take Torpor's own pods or the API server away; every Function then hears of other addresses
or another leader."""


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
    unsteady: tuple[str, ...] = ()
    """Tests that failed at first and passed when they were run once more."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What pytest's report says: how many passed, which failed, which were skipped and why."""

    passed: int = 0
    failed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


WITHOUT_CLUSTER = (
    Suite("unit", ("tests/unit",)),
    Suite("property", ("tests/property",)),
    Suite("integration", ("tests/integration",)),
    Suite("chaos", ("tests/chaos", "-s")),
)
CONFORMANCE_SUITE = Suite("conformance", ("tests/conformance",))
CHAOS = {
    "TORPOR_CHAOS_EXECUTIONS": "150",
    "TORPOR_CHAOS_EVENTS": "3000",
    "TORPOR_CHAOS_KILLS": "6",
    "TORPOR_CHAOS_FROZEN_SECONDS": "12",
}
"""The size of the chaos tests here; `make chaos` runs them in full."""
FEW = 5
"""So many failures of a suite are run once more; more are no accident."""
QUIET_SUITE = Suite("cluster, quiet", (QUIET, "--timeout=1200"))
BESIDE_QUIET = Suite(
    "cluster",
    ("tests/cluster", f"--ignore={QUIET}", *(f"--deselect={test}" for test in DISTURBING)),
)
AFTER_QUIET = Suite("cluster, losses", DISTURBING)


def run_suite(suite: Suite, environment: Mapping[str, str], output: Path | None = None) -> Result:
    """Run pytest to its end; into a file if one is given, else to the terminal.

    A crash of pytest, or a test that it does not find, counts as one failure.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run = PytestRun(suite, environment, Path(folder), output)
        first, code = run.all()
        unsteady: tuple[str, ...] = ()
        if code == 1 and 0 < len(first.failed) <= FEW:
            print(f"\n--- {suite.name}: {len(first.failed)} failed, run once more", flush=True)
            again, code = run.failed()
            passing = tuple(test for test in first.failed if test not in again.failed)
            unsteady = passing if again.passed == len(passing) else ()
    passed = first.passed + len(unsteady)
    failed = len(first.failed) - len(unsteady)
    if code not in (0, 1) or (code == 1 and not failed):
        failed += 1
    seconds = time.monotonic() - started
    return Result(suite.name, passed, failed, first.skipped, seconds, unsteady)


class PytestRun:
    """A suite given to pytest, which remembers in a folder of its own what failed."""

    def __init__(
        self, suite: Suite, environment: Mapping[str, str], folder: Path, output: Path | None
    ) -> None:
        self._suite = suite
        self._environment = {**environment, "PYTHONUNBUFFERED": "1"}
        self._folder = folder
        self._output = output

    def all(self) -> tuple[Counts, int]:
        """Run the whole suite; return what came of it and pytest's exit code."""
        return self._run()

    def failed(self) -> tuple[Counts, int]:
        """Run what failed once more."""
        return self._run("--last-failed", "--last-failed-no-failures=none")

    def _run(self, *options: str) -> tuple[Counts, int]:
        report = self._folder / "report.xml"
        report.unlink(missing_ok=True)
        cache = f"cache_dir={self._folder / 'cache'}"
        command = (sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", "-o", cache)
        code = _call((*command, *options, *self._suite.arguments), self._environment, self._output)
        return _counts(report), code


def _call(words: Sequence[str], environment: Mapping[str, str], output: Path | None) -> int:
    if output is None:
        return subprocess.run(words, env=environment, check=False).returncode
    with output.open("a") as file:
        return subprocess.run(
            words, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False
        ).returncode


def _counts(report: Path) -> Counts:
    if not report.exists() or not report.stat().st_size:
        return Counts(failed=("pytest",))
    passed = 0
    failed, skipped = [], []
    for case in ET.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif skip is not None:
            skipped.append(f"{name}: {skip.get('message')}")
        else:
            passed += 1
    return Counts(passed, tuple(failed), tuple(skipped))


class ClusterLane:
    """What happens on the cluster while the suites without one run: it comes up, and is quiet.

    The output goes to files, so that two suites do not write into each other's lines.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._plain = environment
        self._bringing_up = folder / "cluster.log"
        self._quiet = folder / "quiet.log"
        self._decided = Event()
        self._inside: Mapping[str, str] | None = None

    def run(self) -> list[Result]:
        """Bring the cluster up and count the quiet minutes; to be called in a thread."""
        try:
            up = self._bring_up()
        finally:
            self._decided.set()
        if self._inside is None:
            return [up]
        return [up, run_suite(QUIET_SUITE, self._inside, self._quiet)]

    def _bring_up(self) -> Result:
        started = time.monotonic()
        code = _call(BRING_UP, self._plain, self._bringing_up)
        if code == 0:
            self._inside = cluster_environment()
        seconds = time.monotonic() - started
        return Result("make cluster", int(code == 0), int(code != 0), (), seconds)

    def inside(self) -> Mapping[str, str] | None:
        """Wait until the cluster is up; return its environment, or None if it failed."""
        if not self._decided.is_set():
            print(f"waiting for `make cluster`; it writes to {self._bringing_up}", flush=True)
        self._decided.wait()
        print(f"\n--- make cluster\n{self._bringing_up.read_text()}", flush=True)
        return self._inside

    def print_quiet(self) -> None:
        """Print what the quiet test printed."""
        print(f"\n--- {QUIET_SUITE.name}\n{self._quiet.read_text()}", flush=True)


def cluster_environment() -> Mapping[str, str]:
    """Return the environment in which the provisioned cluster's tools and kubeconfig are found."""
    lines = subprocess.run([*PROVISION, "env"], check=True, capture_output=True, text=True).stdout
    script = f"{lines}\nenv -0"
    out = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout
    return dict(item.split("=", 1) for item in out.split("\0") if "=" in item)


def run_without_cluster() -> list[Result]:
    """Run the suites that need no cluster, one after the other."""
    environment = {**CHAOS, **tools()}
    suites: tuple[Suite, ...] = WITHOUT_CLUSTER
    if recorded.folder().is_dir():
        suites += (CONFORMANCE_SUITE,)
    else:
        print(f"conformance is left out: there is no folder of recorded cases {recorded.folder()}")
    results = []
    for suite in suites:
        print(f"\n--- {suite.name}", flush=True)
        results.append(run_suite(suite, environment))
    return results


def run_everything() -> list[Result]:
    """Run all suites: the terminal shows one after the other, the quiet minutes run beside."""
    with tempfile.TemporaryDirectory(prefix="torpor-test-") as folder, ThreadPoolExecutor() as pool:
        lane = ClusterLane(tools(), Path(folder))
        beside = pool.submit(lane.run)
        results = run_without_cluster()
        inside = lane.inside()
        if inside is None:
            missing = f"tests/cluster: `{' '.join(BRING_UP)}` failed (its output is above)"
            return [*beside.result(), *results, Result("cluster", 0, 0, (missing,), 0.0)]
        print(f"--- {BESIDE_QUIET.name}", flush=True)
        results.append(run_suite(BESIDE_QUIET, inside))
        print("waiting for the end of the quiet minutes", flush=True)
        up, quiet = beside.result()
        lane.print_quiet()
        print(f"--- {AFTER_QUIET.name}", flush=True)
        return [up, *results, quiet, run_suite(AFTER_QUIET, inside)]


def tools() -> Mapping[str, str]:
    """Return the environment with this Python's programs in front of the PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path}


def summarise(results: list[Result], seconds: float) -> int:
    """Print the summary and return the process's exit code."""
    print(f"\n{'suite':<16}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for result in results:
        counts = f"{result.passed:>8}{result.failed:>8}{len(result.skipped):>9}"
        print(f"{result.name:<16}{counts}{result.seconds:>9.0f}")
    unsteady = [test for result in results for test in result.unsteady]
    if unsteady:
        print("\nunsteady, failed at first and passed when run once more:", *unsteady, sep="\n  ")
    skips = [skip for result in results for skip in result.skipped]
    if skips:
        print("\nskipped:", *skips, sep="\n  ")
    failed = sum(result.failed for result in results)
    refused = bool(skips) and os.environ.get("TORPOR_ALLOW_SKIPS") == "0"
    if refused:
        print("\nskips are not allowed in this run")
    passed = sum(result.passed for result in results)
    print(f"\n{passed} passed, {failed} failed, {len(skips)} skipped in {seconds / 60:.1f} minutes")
    return 1 if failed or refused else 0


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.run", description=__doc__)
    parser.add_argument("--without-cluster", action="store_true", help="only what needs none")
    chosen = run_without_cluster if parser.parse_args().without_cluster else run_everything
    started = time.monotonic()
    results = chosen()
    return summarise(results, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
