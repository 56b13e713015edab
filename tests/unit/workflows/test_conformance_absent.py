"""`make conformance` without the recorded cases is a failure that says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.__main__ import main


def test_without_recorded_cases_it_fails_and_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = tmp_path / "cases"
    monkeypatch.setenv("TORPOR_CONFORMANCE", str(absent))
    assert main() == 2
    assert f"no recorded cases: {absent} is absent" in capsys.readouterr().err
