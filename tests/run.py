"""`make test`: runs every suite that this machine can run and prints one summary.

Most of it is waiting, the longest for ten minutes in which 50 Functions at zero must cause no
write. So the cluster comes up beside the suites that need none; those minutes begin the moment it
is up, with the cluster tests within them, except the few whose purpose is to disturb what is
counted.
What is skipped is listed with its reason; with TORPOR_ALLOW_SKIPS=0 a skip is a failure.

A few failures of a suite are run once more in the end, when nothing else runs; what passes then is
listed as unsteady.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conformance import recorded
from tests.suite import Result, Suite, SuiteRun, call

PROVISION = (sys.executable, "-m", "tests.cluster.provision")
UP = "make cluster"
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


TWO_AT_ONCE = ("-n", "2", "--dist", "loadfile")
"""Options of pytest-xdist: two processes share the files, since the tests mostly wait."""
WITHOUT_CLUSTER = (
    Suite("unit", ("tests/unit",)),
    Suite("property", ("tests/property",)),
    Suite("integration", ("tests/integration", *TWO_AT_ONCE)),
    Suite("chaos", ("tests/chaos", "-s")),
)
CONFORMANCE_SUITE = Suite("conformance", ("tests/conformance",))
CHAOS = {
    "TORPOR_CHAOS_EXECUTIONS": "150",
    "TORPOR_CHAOS_EVENTS": "3000",
    "TORPOR_CHAOS_KILLS": "6",
    "TORPOR_CHAOS_FROZEN_SECONDS": "12",
}
"""The size of the chaos tests here, unless the environment has another."""
QUIET_SUITE = Suite("cluster, quiet", (QUIET, "--timeout=1200"))
BESIDE_QUIET = Suite(
    "cluster",
    ("tests/cluster", f"--ignore={QUIET}", *(f"--deselect={test}" for test in DISTURBING)),
)
AFTER_QUIET = Suite("cluster, losses", DISTURBING)


class ClusterLane:
    """All that happens on the cluster, beside the suites that need none: most of it is waiting.

    The output goes to files, so that suites do not write into each other's lines.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._plain = environment
        self._folder = folder
        self._written: list[tuple[str, Path]] = []
        self._results: list[Result] = []
        self._runs: list[SuiteRun] = []

    def run(self) -> None:
        """Bring the cluster up, test on it within the quiet minutes, and disturb it then."""
        up = self._bring_up()
        self._results.append(up)
        if up.failed:
            missing = f"tests/cluster: `{' '.join(BRING_UP)}` failed (its output is above)"
            self._results.append(Result("cluster", 0, 0, (missing,), 0.0))
            return
        inside = cluster_environment()
        suites = (BESIDE_QUIET, QUIET_SUITE, AFTER_QUIET)
        self._runs = [SuiteRun(suite, inside) for suite in suites]
        files = [self._file(suite.name) for suite in suites]
        beside, quiet, after = self._runs
        with ThreadPoolExecutor(1) as pool:
            being_quiet = pool.submit(quiet.run, files[1])
            beside.run(files[0])
        being_quiet.result()
        after.run(files[2])

    def settle(self) -> list[Result]:
        """Return what came of it; a few failures are run once more before."""
        return [*self._results, *(run.settle() for run in self._runs)]

    def _bring_up(self) -> Result:
        started = time.monotonic()
        code = call(BRING_UP, self._plain, self._file(UP))
        seconds = time.monotonic() - started
        return Result(UP, int(code == 0), int(code != 0), (), seconds)

    def _file(self, name: str) -> Path:
        file = self._folder / f"{name}.log"
        file.touch()
        self._written.append((name, file))
        return file

    def print(self) -> None:
        """Print what was written to the files."""
        for name, file in self._written:
            print(f"\n--- {name}\n{file.read_text()}", flush=True)


def cluster_environment() -> Mapping[str, str]:
    """Return the environment in which the provisioned cluster's tools and kubeconfig are found."""
    lines = subprocess.run([*PROVISION, "env"], check=True, capture_output=True, text=True).stdout
    script = f"{lines}\nenv -0"
    out = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout
    return dict(item.split("=", 1) for item in out.split("\0") if "=" in item)


def run_local() -> list[SuiteRun]:
    """Run the suites that need no cluster, one after the other."""
    environment = {**CHAOS, **tools()}
    suites: tuple[Suite, ...] = WITHOUT_CLUSTER
    if recorded.folder().is_dir():
        suites += (CONFORMANCE_SUITE,)
    else:
        print(f"conformance is left out: there is no folder of recorded cases {recorded.folder()}")
    runs = []
    for suite in suites:
        print(f"\n--- {suite.name}", flush=True)
        run = SuiteRun(suite, environment)
        run.run()
        runs.append(run)
    return runs


def run_without_cluster() -> list[Result]:
    """Run the suites that need no cluster, to their results."""
    return [run.settle() for run in run_local()]


def run_everything() -> list[Result]:
    """Run all suites: the terminal shows those without a cluster, then what the others wrote.

    What failed is run once more when all else is done, so that nothing is in its way.
    """
    with tempfile.TemporaryDirectory(prefix="torpor-test-") as folder, ThreadPoolExecutor() as pool:
        lane = ClusterLane(tools(), Path(folder))
        on_cluster = pool.submit(lane.run)
        local = run_local()
        print(f"\nwaiting for the cluster's suites, which write to {folder}", flush=True)
        try:
            on_cluster.result()
        finally:
            lane.print()
        return [*(run.settle() for run in local), *lane.settle()]


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
    print(*(f"\n{told}" for result in results if result.failed for told in result.told), sep="\n")
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
