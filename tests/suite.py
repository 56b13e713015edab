"""One suite in the hands of pytest: what passed, what failed and what it said, what was skipped.

Many tests kill real processes against real deadlines on a machine that does other things too. So
a few failures of a suite can be run once more, by themselves: what fails again has failed, what
passes then is unsteady, to be looked into.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KEPT_OF_FAILURES = ("junit_logging=system-out", "junit_log_passing_tests=false")
TOLD_LINES = 40
"""So many lines are repeated of a failure's traceback, and of what its test printed."""
FEW = 5
"""So many failures of a suite are run once more; more are no accident."""


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
    told: tuple[str, ...] = ()
    """What each failure said, the first time too."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What pytest's report says: how many passed, which failed, which were skipped and why."""

    passed: int = 0
    failed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    """For each failure its name, the traceback's end and the beginning of what the test printed."""


class SuiteRun:
    """A suite given to pytest, which remembers in a folder of its own what failed.

    A crash of pytest, or a test that it does not find, counts as one failure.
    """

    def __init__(self, suite: Suite, environment: Mapping[str, str]) -> None:
        self._suite = suite
        self._environment = {**environment, "PYTHONUNBUFFERED": "1"}
        self._folder = tempfile.TemporaryDirectory()
        self._first = Counts()
        self._code = 0
        self._seconds = 0.0

    def run(self, output: Path | None = None) -> None:
        """Run all of it; its output goes to `output` if given, else to the terminal."""
        self._first, self._code = self._run(output)
        if output is not None and self._first.told:
            print(f"\n--- {self._suite.name}", *self._first.told, sep="\n", flush=True)

    def settle(self) -> Result:
        """Run what failed once more if it is little, and return what came of the suite."""
        first, code = self._first, self._code
        unsteady: tuple[str, ...] = ()
        told = first.told
        with self._folder:
            if code == 1 and 0 < len(first.failed) <= FEW:
                count = len(first.failed)
                print(f"\n--- {self._suite.name}: {count} failed, run once more", flush=True)
                again, code = self._run(None, "--last-failed", "--last-failed-no-failures=none")
                passing = tuple(test for test in first.failed if test not in again.failed)
                unsteady = passing if again.passed == len(passing) else ()
                told += again.told
        failed = len(first.failed) - len(unsteady)
        if code not in (0, 1) or (code == 1 and not failed):
            failed += 1
        passed = first.passed + len(unsteady)
        name, seconds = self._suite.name, self._seconds
        return Result(name, passed, failed, first.skipped, seconds, unsteady, told)

    def _run(self, output: Path | None, *options: str) -> tuple[Counts, int]:
        started = time.monotonic()
        folder = Path(self._folder.name)
        report = folder / "report.xml"
        report.unlink(missing_ok=True)
        settings = (f"cache_dir={folder / 'cache'}", *KEPT_OF_FAILURES)
        command = [sys.executable, "-m", "pytest", "-q", "--tb=short", f"--junit-xml={report}"]
        command += [word for setting in settings for word in ("-o", setting)]
        code = call((*command, *options, *self._suite.arguments), self._environment, output)
        self._seconds += time.monotonic() - started
        return _counts(report), code


def call(words: Sequence[str], environment: Mapping[str, str], output: Path | None) -> int:
    """Run a program whose output goes to the end of a file, or to the terminal; return its code."""
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
    failed, skipped, told = [], [], []
    for case in ET.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        skip = case.find("skipped")
        wrong = [*case.iter("failure"), *case.iter("error")]
        if wrong:
            failed.append(name)
            traceback = [line for each in wrong for line in (each.text or "").splitlines()]
            printed = (case.findtext("system-out") or "").splitlines()
            lines = (f"--- {name}", *traceback[-TOLD_LINES:], *printed[:TOLD_LINES])
            told.append("\n".join(lines))
        elif skip is not None:
            skipped.append(f"{name}: {skip.get('message')}")
        else:
            passed += 1
    return Counts(passed, tuple(failed), tuple(skipped), tuple(told))
