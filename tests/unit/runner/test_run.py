"""`make test` reports what ran, and never takes what did not run for success."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import run
from tests.suite import Result, Suite, SuiteRun

ROOT = Path(__file__).resolve().parents[3]


def suite(folder: Path, name: str, source: str) -> Suite:
    file = folder / f"test_{name}.py"
    file.write_text(source)
    return Suite(name, (str(file), "-c", "/dev/null"))


def outcome(given: Suite, output: Path | None = None) -> Result:
    ran = SuiteRun(given, os.environ)
    ran.run(output)
    return ran.settle()


@pytest.fixture
def suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every suite is one test that notes its name; the quiet one ends after the one beside it."""
    order = tmp_path / "order"
    note = f"def test_it():\n    with open({str(order)!r}, 'a') as f: f.write('NAME ')\n"
    waits = (
        "import time, pathlib\ndef test_it():\n    end = time.monotonic() + 20\n"
        f"    file = pathlib.Path({str(order)!r})\n"
        "    while not (file.exists() and 'beside' in file.read_text()):\n"
        "        assert time.monotonic() < end\n        time.sleep(0.02)\n"
        "    file.write_text(file.read_text() + 'quiet ')\n"
    )

    def noting(name: str) -> Suite:
        return suite(tmp_path, name, note.replace("NAME", name))

    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(run, "WITHOUT_CLUSTER", (noting("local"),))
    monkeypatch.setattr(run, "CONFORMANCE_SUITE", noting("recorded"))
    monkeypatch.setenv("TORPOR_CONFORMANCE", str(tmp_path / "no-cases"))
    monkeypatch.setattr(run, "BESIDE_QUIET", noting("beside"))
    monkeypatch.setattr(run, "AFTER_QUIET", noting("after"))
    monkeypatch.setattr(run, "QUIET_SUITE", suite(tmp_path, "quiet", waits))
    monkeypatch.setattr(run, "BRING_UP", ("true",))
    monkeypatch.setattr(run, "cluster_environment", lambda: dict(os.environ))
    return order


def test_the_cluster_tests_run_in_the_quiet_minutes_and_the_disturbing_ones_after(
    suites: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = run.run_everything()
    assert [result.passed for result in results] == [1] * 5
    ran = suites.read_text().split()
    assert [name for name in ran if name != "local"] == ["beside", "quiet", "after"]
    assert "local" in ran
    assert run.summarise(results, 60.0) == 0
    assert "5 passed, 0 failed, 0 skipped in 1.0 minutes" in capfd.readouterr().out


def test_recorded_cases_are_run_where_they_are(
    suites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run.run_without_cluster()
    assert "conformance is left out" in capfd.readouterr().out
    monkeypatch.setenv("TORPOR_CONFORMANCE", str(tmp_path))
    run.run_without_cluster()
    assert suites.read_text().split() == ["local", "local", "recorded"]


def test_a_cluster_that_does_not_come_up_is_a_failure(
    suites: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "BRING_UP", ("sh", "-c", "echo no daemon; exit 2"))
    results = run.run_everything()
    assert suites.read_text().split() == ["local"]
    assert run.summarise(results, 60.0) == 1
    printed = capfd.readouterr().out
    assert "no daemon" in printed
    assert "tests/cluster: `sh -c" in printed


@pytest.mark.parametrize(("allowed", "code"), [("1", 0), ("0", 1)])
def test_skips_are_named_and_can_be_forbidden(
    allowed: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TORPOR_ALLOW_SKIPS", allowed)
    assert run.summarise([Result("unit", 3, 0, ("a.b: no haproxy",), 1.0)], 1.0) == code
    assert "a.b: no haproxy" in capsys.readouterr().out


@pytest.mark.parametrize(
    "source", ["import no_such_module", "def test_it(): assert 0", "import os; os._exit(7)"]
)
def test_what_cannot_run_is_a_failure(
    tmp_path: Path, source: str, capfd: pytest.CaptureFixture[str]
) -> None:
    result = outcome(suite(tmp_path, "broken", source))
    assert (result.passed, result.failed > 0) == (0, True)


@pytest.mark.parametrize(("others", "failed"), [("", 0), ("def test_worse(): assert 0", 1)])
def test_what_passes_when_run_once_more_is_named(
    others: str, failed: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = tmp_path / "seen"
    source = f"""
from pathlib import Path
def test_steady(): pass
def test_once():
    seen = Path({str(seen)!r})
    if not seen.exists():
        seen.touch()
        assert 0
{others}
"""
    result = outcome(suite(tmp_path, "unsteady", source))
    assert (result.passed, result.failed) == (2, failed)
    assert result.unsteady == ("test_unsteady.test_once",)
    assert run.summarise([result], 1.0) == failed
    assert "unsteady, failed at first" in capfd.readouterr().out


def test_the_summary_ends_with_what_failed_and_what_it_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = "def test_it():\n    print('sent 3, answered 2')\n    assert 3 == 2\n"
    result = outcome(suite(tmp_path, "wrong", source), tmp_path / "log")
    at_once = capfd.readouterr().out
    assert run.summarise([result], 1.0) == 1
    for printed in (at_once, capfd.readouterr().out):
        assert "--- test_wrong.test_it" in printed
        assert "E   assert 3 == 2" in printed
        assert "sent 3, answered 2" in printed


def test_many_failures_are_not_run_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = "import pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_it(n): assert 0\n"
    result = outcome(suite(tmp_path, "worse", source))
    assert (result.passed, result.failed, result.unsteady) == (0, 6, ())
    assert "run once more" not in capfd.readouterr().out


def test_a_test_that_is_named_and_not_there_is_a_failure(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = suite(tmp_path, "renamed", "def test_new(): pass\n")
    file, *options = whole.arguments
    gone = Suite("gone", (f"{file}::test_old", *options))
    assert outcome(gone).failed == 1


def test_the_tests_kept_out_of_the_quiet_minutes_exist() -> None:
    for test in run.DISTURBING:
        file, _, name = test.partition("::")
        assert f"async def {name}(" in (ROOT / file).read_text()
