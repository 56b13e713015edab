"""Where the commands look for the events role, and what they say when it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from torpor.cli.main import main


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither a cluster nor a note of a run."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [("trigger", "list"), ("trigger", "pause", "a"), ("dlq", "list"), ("replay", "b"), ("audit",)],
)
def test_a_run_that_left_no_word_here_is_told_from_a_missing_cluster(
    words: tuple[str, ...],
    nowhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TORPOR_EVENTS", "http://127.0.0.1:8200")
    assert main([*words]) == 1
    told = capsys.readouterr().err
    assert f"no `torpor dev` left word of http://127.0.0.1:8200 in {nowhere}/torpor/dev" in told
    assert "XDG_STATE_HOME" in told
    assert "--admin" in told


def test_without_an_address_a_cluster_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trigger", "list"]) == 1
    assert "needs a cluster" in capsys.readouterr().err
