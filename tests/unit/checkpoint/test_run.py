"""What a run is told and what it leaves, and that the package stands alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import torpor.checkpoint
from torpor.checkpoint import BadInput, ResultTooLarge, Run, hash_of


def test_a_run_without_an_environment_is_a_local_one() -> None:
    run = Run.from_environment({})
    assert (run.id, run.index, run.completions, run.attempt) == ("local", 0, 1, 1)
    assert (run.input(), run.store_url, run.progress_port) == (None, "", None)


def test_a_run_is_what_its_environment_says(tmp_path: Path) -> None:
    (tmp_path / "input").write_text('{"a": 1}')
    run = Run.from_environment(
        {
            "TORPOR_RUN_ID": "r7",
            "JOB_COMPLETION_INDEX": "3",
            "TORPOR_COMPLETIONS": "4",
            "TORPOR_FAILURES": "2",
            "TORPOR_INPUT": str(tmp_path / "input"),
            "TORPOR_CHECKPOINT": str(tmp_path),
            "TORPOR_CHECKPOINT_SECONDS": "90",
            "TORPOR_PROGRESS_PORT": "0",
            "TORPOR_GRACE_SECONDS": "100.5",
        }
    )
    assert (run.id, run.index, run.completions, run.attempt) == ("r7", 3, 4, 3)
    assert (run.input(), run.interval_seconds, run.progress_port) == ({"a": 1}, 90, None)
    assert run.stop.left_seconds == 100.5
    assert run.checkpoint("x").store.url == str(tmp_path)


@pytest.mark.parametrize("content", ["{", '{"a": 1} more', "[" * 100_000, "x" * 2_000_000])
def test_an_input_that_cannot_be_read_is_bad(tmp_path: Path, content: str) -> None:
    (tmp_path / "input").write_text(content)
    with pytest.raises(BadInput):
        Run(input_path=tmp_path / "input").input()


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_input_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "input").write_text(content)
    assert Run(input_path=tmp_path / "input").input() is None


def test_a_small_result_is_the_file(tmp_path: Path) -> None:
    Run(output_path=tmp_path / "output").result({"sum": "é"})
    assert json.loads((tmp_path / "output").read_bytes()) == {"sum": "é"}


def test_the_output_file_is_written_in_place(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.write_text("x" * 5000)
    before = output.stat().st_ino
    Run(output_path=output).result(1)
    assert (output.stat().st_ino, output.read_text()) == (before, "1")


def test_a_large_result_needs_a_store(tmp_path: Path) -> None:
    with pytest.raises(ResultTooLarge, match="set spec"):
        Run(output_path=tmp_path / "output").result("x" * 5000)


@pytest.mark.parametrize(
    "reason", ["x" * 9000, "ü" * 9000, '"' * 9000, "\ud800" * 9000, "\x00" * 9000]
)
def test_a_reason_is_cut_to_what_fits(tmp_path: Path, reason: str) -> None:
    output = tmp_path / "output"
    Run(output_path=output).failed(reason)
    assert 2000 < output.stat().st_size <= 4096
    assert json.loads(output.read_bytes())["error"].endswith("…")


def test_a_hash_is_that_of_the_json() -> None:
    assert hash_of({"a": 1, "b": [1, "ü"]}) == hash_of({"b": [1, "ü"], "a": 1})
    assert hash_of({"a": 1}) != hash_of({"a": 2})


def test_a_hash_and_a_result_take_names_that_are_no_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"bad\xff.mp4")
    assert hash_of(name) != hash_of("bad\\udcff.mp4")
    Run(output_path=tmp_path / "output").result({"source": name})
    assert json.loads((tmp_path / "output").read_bytes()) == {"source": name}


def test_work_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a name"):
        Run(store_url=str(tmp_path)).checkpoint("/")


def test_the_package_runs_alone(tmp_path: Path) -> None:
    """Without any other package, even of Torpor: so an image takes it alone."""
    source = Path(torpor.checkpoint.__file__).parent
    shutil.copytree(source, tmp_path / "torpor/checkpoint", ignore=shutil.ignore_patterns("*.pyc"))
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from torpor.checkpoint import Checkpoint, Store, Unit;"
        "work = Checkpoint(Store.open(sys.argv[1] + '/store'), 'w');"
        "claim = work.claim(Unit('a'));"
        "claim.__enter__().commit(b'1');"
        "print([unit.name for unit in work.committed([Unit('a')])])"
    )
    command = [sys.executable, "-I", "-S", "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("['a']\n", "")
