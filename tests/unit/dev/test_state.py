"""What a run of `torpor dev` keeps for the next one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from torpor.dev.state import LOCK, kept_key, lasts, state_of

IN_ITS_PLACE = """
import sys, tempfile, time
from pathlib import Path
from torpor.dev.state import state_of

tempfile.tempdir = sys.argv[1]
with state_of(Path(sys.argv[1])) as place:
    print(place, flush=True)
    time.sleep(60)
"""


def test_a_key_is_made_once_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    file = tmp_path / "key"
    key = kept_key(file)
    assert len(key) == 32
    assert kept_key(file) == key
    assert file.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("left", [b"", b"half a key"])
def test_half_a_key_is_none(tmp_path: Path, left: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(left)
    (tmp_path / "key.new").write_bytes(left)
    assert len(kept_key(file)) == 32


def test_a_place_in_the_state_folder_lasts_and_a_temporary_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with state_of(tmp_path) as place:
        assert lasts(place)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with state_of(tmp_path) as place:
        assert not lasts(place)


def test_temporary_places_of_runs_that_are_over_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", os.devnull)
    others = tmp_path / "torpor-dev-of-something-else"
    others.mkdir()
    with state_of(tmp_path) as over:
        (over / "objects" / "media").mkdir(parents=True)
    killed = subprocess.Popen(
        [sys.executable, "-c", IN_ITS_PLACE, tmp_path], stdout=subprocess.PIPE, text=True
    )
    with killed, state_of(tmp_path) as alive:
        assert killed.stdout
        left = Path(killed.stdout.readline().strip())
        assert left.is_dir()
        assert not over.exists()
        killed.kill()
        killed.wait()
        with state_of(tmp_path):
            assert not left.exists()
            assert (alive / LOCK).exists()
            assert others.exists()
