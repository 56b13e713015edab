"""The table of faults: what is in it, and that a test which tells of none is no silent success."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.report import ELSEWHERE, ON_A_CLUSTER, Fault, Faults, found_in, table

ROOT = Path(__file__).parents[3]


def test_a_fault_that_was_never_done_is_no_proof() -> None:
    with pytest.raises(AssertionError, match="it was never done"):
        Faults([]).add("engine killed", 0)


def test_what_a_test_told_of_is_a_line() -> None:
    properties: list[tuple[str, object]] = [("other", 1)]
    Faults(properties).add("engine killed", 6, "none of 150 executions")
    found = list(found_in("tests/chaos/test_x.py::test_y", properties))
    assert found == [Fault("engine killed", 6, "none of 150 executions")]
    assert list(table(found)) == [
        "fault          times  lost",
        "engine killed      6  none of 150 executions",
    ]


@pytest.mark.parametrize("test", [*ELSEWHERE, *ON_A_CLUSTER])
def test_tests_of_other_suites_are_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()


@pytest.mark.parametrize(("told", "status"), [("faults.add('x', 1)", 0), ("pass", 1)])
def test_a_chaos_test_that_tells_of_no_fault_fails(told: str, status: int, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests/chaos/conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(f"def test_it(faults):\n    {told}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-c", "/dev/null"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert ("this test tells of no fault" in done.stdout) == bool(status)
