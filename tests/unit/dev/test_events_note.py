"""A run's events role is found by the address that the run printed, and by nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from torpor.dev.events_note import EventsNote, found, left

NOTE = EventsNote("http://127.0.0.1:40001", "secret")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:8200", "http://localhost:8200/", "127.0.0.1:8200"]
)
def test_a_note_is_found_while_the_run_lasts(endpoint: str) -> None:
    with left(8200, NOTE):
        assert found(endpoint) == NOTE
    assert found(endpoint) is None


def test_only_its_user_may_read_it(state: Path) -> None:
    with left(8200, NOTE):
        [file] = (state / "torpor" / "dev").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
    assert "secret" not in repr(NOTE)


def test_what_a_killed_run_left_is_replaced() -> None:
    with left(8200, EventsNote("old", "old")), left(8200, NOTE):
        assert found("http://127.0.0.1:8200") == NOTE


@pytest.mark.parametrize(
    "endpoint",
    [None, "", "http://127.0.0.1:8201", "http://example.com:8200", "http://[:"],
)
def test_other_addresses_have_none(endpoint: str | None) -> None:
    with left(8200, NOTE):
        assert found(endpoint) is None


def test_a_note_that_cannot_be_read_is_none(state: Path) -> None:
    with left(8200, NOTE):
        [file] = (state / "torpor" / "dev").iterdir()
        file.write_text("[]")
        assert found("http://127.0.0.1:8200") is None
