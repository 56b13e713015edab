"""A checkpointed program from the outside: exit codes, what it leaves, signals, kills, progress."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.checkpoint_victim import ended, heard, kill, output, records, start
from tests.support.servers.daemon import free_port
from torpor.checkpoint import Record, Store


def of_folder(folder: Path, count: int) -> dict[str, Record]:
    return records(Store.open(str(folder / "store")), count)


def test_it_ends_with_its_result(tmp_path: Path) -> None:
    assert ended(start(tmp_path, {"units": 3}, {}))[0] == 0
    assert output(tmp_path) == {"done": 3}
    assert list(of_folder(tmp_path, 3)) == ["000", "001", "002"]


def test_each_index_makes_its_share(tmp_path: Path) -> None:
    for index in ("0", "1"):
        environment = {"JOB_COMPLETION_INDEX": index, "TORPOR_COMPLETIONS": "2"}
        code, said, _ = ended(start(tmp_path, {"units": 4}, environment))
        assert (code, re.findall(r"committed (\d+)", said)) == (
            0,
            [["000", "001"], ["002", "003"]][int(index)],
        )


@pytest.mark.parametrize("index", ["0", "1"])
def test_a_damaged_unit_is_made_anew_by_the_same_start(tmp_path: Path, index: str) -> None:
    """Also one of an index that has ended, which nobody starts again."""
    two = {"TORPOR_COMPLETIONS": "2"}
    for each in ("0", "1"):
        assert ended(start(tmp_path, {"units": 4}, {**two, "JOB_COMPLETION_INDEX": each}))[0] == 0
    (damaged,) = tmp_path.glob("store/work/seg/0/000-*")
    damaged.write_bytes(bytes(damaged.stat().st_size))
    program = start(tmp_path, {"units": 4}, {**two, "JOB_COMPLETION_INDEX": index})
    code, said, told = ended(program)
    assert (code, re.findall(r"committed (\d+)", said)) == (0, ["000"])
    assert "000 will be made anew" in told
    assert list(of_folder(tmp_path, 4)) == ["000", "001", "002", "003"]


def test_a_store_that_keeps_damaging_a_unit_costs_an_attempt(tmp_path: Path) -> None:
    program = (
        "from torpor import checkpoint\n"
        "def main(run):\n"
        "    raise checkpoint.UnitDamaged('not what was committed', checkpoint.Unit('a'))\n"
        "checkpoint.run(main)"
    )
    code, _, told = ended(start(tmp_path, {}, {}, ("-c", program)))
    assert (code, output(tmp_path)) == (1, {"error": "not what was committed"})
    assert told.count("again: ") == 1


def test_other_work_in_the_same_place_is_not_tried_again(tmp_path: Path) -> None:
    assert ended(start(tmp_path, {"units": 2}, {}))[0] == 0
    assert ended(start(tmp_path, {"units": 3}, {}))[0] == 64
    assert "it differs in units" in output(tmp_path)["error"]


def test_bad_input_ends_with_64_and_one_line_of_reason(tmp_path: Path) -> None:
    code, _, said = ended(start(tmp_path, {"units": 2, "then": {"001": "bad"}}, {}))
    assert (code, output(tmp_path)) == (64, {"error": "line 7 is no number"})
    assert said == "error: line 7 is no number\n"
    assert list(of_folder(tmp_path, 2)) == ["000"]


def test_an_error_ends_with_1_and_its_name(tmp_path: Path) -> None:
    code, _, said = ended(start(tmp_path, {"units": 1, "then": {"000": "crash"}}, {}))
    assert (code, output(tmp_path)) == (1, {"error": "ZeroDivisionError: seven by nothing"})
    assert "Traceback" in said


def test_an_exit_of_the_programs_own_is_kept(tmp_path: Path) -> None:
    assert ended(start(tmp_path, {"units": 1, "then": {"000": "exit"}}, {}))[0] == 9


@pytest.mark.parametrize(
    ("environment", "code", "says"),
    [
        ({"JOB_COMPLETION_INDEX": "1"}, 64, "JOB_COMPLETION_INDEX is '1'"),
        ({"TORPOR_COMPLETIONS": "many"}, 64, "TORPOR_COMPLETIONS is 'many'"),
        ({"TORPOR_GRACE_SECONDS": "-1"}, 64, "TORPOR_GRACE_SECONDS is '-1'"),
        ({"TORPOR_CHECKPOINT": ""}, 1, "set spec.job.checkpoint.store"),
        ({"TORPOR_CHECKPOINT": "ftp://x"}, 64, "no address of a store"),
        ({"TORPOR_CHECKPOINT": "/proc/nothing"}, 1, "/proc/nothing"),
    ],
)
def test_wrong_surroundings_are_told(
    tmp_path: Path, environment: dict[str, str], code: int, says: str
) -> None:
    assert ended(start(tmp_path, {"units": 1}, environment))[0] == code
    assert says in output(tmp_path)["error"]


def test_an_input_that_is_no_json_is_bad(tmp_path: Path) -> None:
    program = start(tmp_path, None, {"TORPOR_INPUT": __file__})
    assert ended(program)[0] == 64
    assert "the input is not JSON" in output(tmp_path)["error"]


def test_a_large_result_is_kept_in_the_store(tmp_path: Path) -> None:
    large = {"text": "ü" * 4000}
    program = start(tmp_path, {"units": 0, "result": large}, {"TORPOR_RUN_ID": "run-7"})
    assert ended(program)[0] == 0
    at = output(tmp_path)["object"]
    assert at == f"{tmp_path}/store/results/run-7/0.json"
    assert json.loads(Path(at).read_text()) == large


def test_it_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    program = start(tmp_path, {"units": 4, "then": {"002": "stuck"}}, {})
    heard(program, "begun 002")
    kill(program)
    before = of_folder(tmp_path, 4)
    code, said, _ = ended(start(tmp_path, {"units": 4}, {"TORPOR_FAILURES": "1"}))
    after = of_folder(tmp_path, 4)
    assert (code, re.findall(r"begun (\d+)", said)) == (0, ["002", "003"])
    assert {name: after[name] for name in before} == before
    assert [after[name].attempt for name in sorted(after)] == [1, 1, 2, 2]


def test_a_full_disk_is_told_and_nothing_half_is_kept(tmp_path: Path) -> None:
    limited = (
        "-c",
        "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000));"
        "runpy.run_module('tests.support.checkpoint_victim', run_name='__main__')",
    )
    program = start(tmp_path, {"units": 2}, {"PYTHONDONTWRITEBYTECODE": "1"}, limited)
    assert ended(program)[0] == 1
    assert "larger than this process may write" in output(tmp_path)["error"]
    assert [entry.key for entry in Store.open(str(tmp_path / "store")).list()] == ["work/plan.json"]
    assert list((tmp_path / "store/.staging").iterdir()) == []


def test_a_full_volume_is_told_and_what_is_committed_stays(tmp_path: Path) -> None:
    volume = tmp_path / "store"
    volume.mkdir()
    script = (
        "mount -t tmpfs -o size=40k none $0 && $1 -m tests.support.checkpoint_victim;"
        "code=$?; find $0 -type f; exit $code"
    )
    command = ("-c", "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])", "unshare", "-rm")
    shell = ("sh", "-c", script, str(volume), sys.executable)
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces on this machine")
    code, said, _ = ended(start(tmp_path, {"units": 4}, {}, (*command, *shell)))
    assert code == 1
    assert "no space left" in output(tmp_path)["error"]
    assert "committed 000" in said
    assert re.findall(r"/store/(.*)\.json", said) == ["work/seg/0/000", "work/plan"]
    assert "/.staging/" not in said


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_finishes_the_unit_in_hand(tmp_path: Path, asked: signal.Signals) -> None:
    program = start(tmp_path, {"units": 4, "then": {"001": "slow"}}, {})
    heard(program, "begun 001")
    program.send_signal(asked)
    code, said, told = ended(program)
    assert (code, said) == (143, "committed 001\n")
    assert told.startswith("stopped: ")
    assert list(of_folder(tmp_path, 4)) == ["000", "001"]
    assert not (tmp_path / "output").exists()


def test_a_program_that_hangs_ends_as_stopped_before_its_grace_is_over(tmp_path: Path) -> None:
    given = {"units": 4, "then": {"001": "stuck"}}
    program = start(tmp_path, given, {"TORPOR_GRACE_SECONDS": "1.5"})
    heard(program, "begun 001")
    began = time.monotonic()
    program.send_signal(signal.SIGTERM)
    assert ended(program)[0] == 143
    assert time.monotonic() - began < 1.5
    assert list(of_folder(tmp_path, 4)) == ["000"]


def test_sigterm_twice_is_sigterm(tmp_path: Path) -> None:
    program = start(tmp_path, {"units": 4, "then": {"001": "slow and steady"}}, {})
    heard(program, "begun 001")
    for _ in range(3):
        program.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    assert ended(program)[0] == 143
    assert list(of_folder(tmp_path, 4)) == ["000", "001"]


def test_ctrl_c_twice_ends_it_at_once(tmp_path: Path) -> None:
    program = start(tmp_path, {"units": 4, "then": {"001": "stuck"}}, {})
    heard(program, "begun 001")
    while program.poll() is None:
        program.send_signal(signal.SIGINT)
        time.sleep(0.02)
    assert ended(program)[0] == 143
    assert list(of_folder(tmp_path, 4)) == ["000"]


def test_its_progress_can_be_asked_for(tmp_path: Path) -> None:
    port = free_port()
    given = {"units": 4, "then": {"003": "slow"}}
    program = start(tmp_path, given, {"TORPOR_PROGRESS_PORT": str(port)})
    heard(program, "begun 003")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/progress", timeout=5) as answer:
        seen = json.load(answer)
    with pytest.raises(urllib.error.HTTPError, match="404") as other:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
    other.value.close()
    program.send_signal(signal.SIGTERM)
    assert ended(program)[0] == 0
    assert (seen["done"], seen["total"], seen["unit"], seen["ratio"]) == (3, 4, "units", 0.75)


def test_a_port_that_is_taken_does_not_end_it(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, said = ended(start(tmp_path, {"units": 1}, {"TORPOR_PROGRESS_PORT": port}))
    assert code == 0
    assert "nobody can ask for the progress" in said
