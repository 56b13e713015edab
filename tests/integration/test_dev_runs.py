"""Runs of Job Functions as local processes: their ends, signals, retries and restarts."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from torpor.dev.runs.ends import After, judge
from torpor.dev.runs.index import Pauses
from torpor.dev.runs.keeper import LocalRuns
from torpor.errors import InvalidResource, UnknownFunction
from torpor.functions.runs.words import RESULT_TOO_LARGE, is_cut, result_of
from torpor.platform.local_program import Program
from torpor.resources.function import Function
from torpor.resources.names import FunctionKey
from torpor.resources.run import MAX_RESULT_BYTES, Run, RunRefused, RunRequest, RunState, UnknownRun

KEY = FunctionKey("default", "work")
_BEGIN = """
import json, os, pathlib, signal, sys, time
given = open(os.environ["TORPOR_INPUT"]).read()
index = int(os.environ["JOB_COMPLETION_INDEX"])
failures = int(os.environ["TORPOR_FAILURES"])
place = pathlib.Path(os.environ["PLACE"])
def note(text):
    with open(place / "notes", "a") as out:
        out.write(text + "\\n")
def give(value):
    with open(os.environ["TORPOR_OUTPUT"], "w") as out:
        json.dump(value, out)
"""


def program(place: Path, code: str, job: Mapping[str, Any] | None = None, **spec: Any) -> Program:
    """A Job Function whose program is this Python, after some names for it."""
    body = {
        "metadata": {"name": KEY.name},
        "spec": {
            "workload": "Job",
            "image": "example.com/work:1",
            "command": [sys.executable, "-c", _BEGIN + code],
            "env": [{"name": "PLACE", "value": str(place)}],
            "job": dict(job or {}),
            **spec,
        },
    }
    return Program(Function.parse(body), {})


@asynccontextmanager
async def keeping(folder: Path, found: Program) -> AsyncIterator[LocalRuns]:
    runs = LocalRuns(folder, pauses=Pauses(0.05, 0.2))
    runs.programs = {KEY: found}
    task = asyncio.create_task(runs.run())
    await asyncio.wait_for(runs.ready.wait(), 5)
    try:
        yield runs
    finally:
        task.cancel()
        await asyncio.wait((task,), timeout=20)


async def started(runs: LocalRuns, key: str = "k", given: str = "") -> str:
    return await runs.start(RunRequest(KEY, given, key))


async def ended(runs: LocalRuns, run: str) -> Run:
    found = await runs.find(KEY.namespace, run, 20)
    assert found.state.is_final, found
    return found


async def noted(place: Path, text: str) -> None:
    async with asyncio.timeout(10):
        while text not in notes(place):  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.02)


def notes(place: Path) -> list[str]:
    file = place / "notes"
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize(
    ("code", "failures", "after"),
    [
        (0, 0, After.SUCCEEDED),
        (64, 0, After.FAILED),
        (143, 3, After.ANEW),
        (137, 0, After.RETRY),
        (1, 2, After.RETRY),
        (1, 3, After.FAILED),
    ],
)
def test_what_an_exit_code_means(code: int, failures: int, after: After) -> None:
    assert judge(code, failures, retries=3) is after


async def test_a_run_has_its_input_and_tells_its_result(tmp_path: Path) -> None:
    found = program(tmp_path, "give({'got': given, 'run': os.environ['TORPOR_RUN_ID']})")
    async with keeping(tmp_path / "runs", found) as runs:
        name = await started(runs, given="two\nlines")
        done = await ended(runs, name)
    assert done.state is RunState.SUCCEEDED
    assert done.result == {"got": "two\nlines", "run": name}
    assert (done.indexes.succeeded, done.indexes.total) == (1, 1)
    assert done.pod_seconds > 0
    assert done.created <= done.started <= done.finished


@pytest.mark.parametrize(
    ("left", "result"),
    [
        ("", None),
        (" \n", None),
        ('{"n": 1}', {"n": 1}),
        ("done\n", "done\n"),
        ("NaN", "NaN"),
        ("[" * 500 + "]" * 500, "[" * 500 + "]" * 500),
    ],
)
def test_what_a_program_left_is_json_or_text(left: str, result: object) -> None:
    assert result_of(left) == result


def test_a_whole_result_that_fills_its_room_is_not_cut() -> None:
    whole = json.dumps("x" * (MAX_RESULT_BYTES - 2))
    assert len(whole) == MAX_RESULT_BYTES
    assert [is_cut(whole), is_cut(whole[:-1]), is_cut("x" + whole[1:])] == [False, False, True]


async def test_a_result_that_is_too_large_is_none_and_not_half_of_it(tmp_path: Path) -> None:
    async with keeping(tmp_path / "runs", program(tmp_path, "give(['x' * 9000])")) as runs:
        done = await ended(runs, await started(runs))
    assert (done.state, done.reason, done.result) == (RunState.SUCCEEDED, RESULT_TOO_LARGE, None)


@pytest.mark.parametrize(
    "leave",
    ["os.mkfifo(path)", "os.mkdir(path)", "os.symlink('/etc/hostname', path)"],
    ids=["fifo", "folder", "link"],
)
async def test_what_is_no_file_is_no_result_and_holds_nobody_up(tmp_path: Path, leave: str) -> None:
    code = f"path = os.environ['TORPOR_OUTPUT']; os.unlink(path); {leave}; os._exit(not failures)"
    async with keeping(tmp_path / "runs", program(tmp_path, code)) as runs:
        async with asyncio.timeout(20):
            done = await ended(runs, await started(runs))
    assert (done.state, done.result, done.attempt) == (RunState.SUCCEEDED, None, 2)


async def test_a_program_that_stops_unasked_is_started_again_with_growing_pauses(
    tmp_path: Path,
) -> None:
    assert [Pauses(1, 60).after(ends) for ends in (1, 2, 3, 99)] == [1, 2, 4, 60]
    found = program(tmp_path, "note(str(time.monotonic())); os._exit(143)")
    async with keeping(tmp_path / "runs", found) as runs:
        await started(runs)
        async with asyncio.timeout(15):
            while len(notes(tmp_path)) < 4:  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.02)
    began = [float(line) for line in notes(tmp_path)]
    assert began[3] - began[2] >= 0.2, "the third pause is four times the first"


async def test_one_key_is_one_run(tmp_path: Path) -> None:
    async with keeping(tmp_path / "runs", program(tmp_path, "note('ran')")) as runs:
        names = [await started(runs, "one") for _ in range(5)]
        await ended(runs, names[0])
        names.append(await started(runs, "one"))
        other = await started(runs, "two")
        await ended(runs, other)
    assert len(set(names)) == 1
    assert other != names[0]
    assert notes(tmp_path) == ["ran", "ran"]


async def test_bad_input_fails_at_once_with_the_reason(tmp_path: Path) -> None:
    found = program(tmp_path, "note('ran'); give({'error': 'no film'}); sys.exit(64)")
    async with keeping(tmp_path / "runs", found) as runs:
        done = await ended(runs, await started(runs))
    assert (done.state, done.reason, done.message) == (RunState.FAILED, "BadInput", "no film")
    assert notes(tmp_path) == ["ran"]


async def test_a_crash_is_retried_as_often_as_the_job_says(tmp_path: Path) -> None:
    found = program(tmp_path, "note(str(failures)); raise ValueError('oh')", {"retries": RETRIES})
    async with keeping(tmp_path / "runs", found) as runs:
        done = await ended(runs, await started(runs))
    assert (done.state, done.reason) == (RunState.FAILED, "Failed")
    assert done.message == "exit code 1: ValueError: oh"
    assert notes(tmp_path) == ["0", "1", "2"]
    assert done.attempt == 3


def is_alive(pid: int) -> bool:
    """Whether it runs: one that ended may still have to be collected by init."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


RETRIES = {"perIndex": 2}


async def test_being_told_to_stop_uses_up_no_attempt(tmp_path: Path) -> None:
    code = """
note("at work")
if len(open(place / "notes").readlines()) < 4:
    sys.exit(143)
give("done")
"""
    found = program(tmp_path, code, {"retries": {"perIndex": 0}})
    async with keeping(tmp_path / "runs", found) as runs:
        done = await ended(runs, await started(runs))
    assert (done.state, done.result, done.attempt) == (RunState.SUCCEEDED, "done", 1)


async def test_a_program_that_there_is_not_is_told(tmp_path: Path) -> None:
    found = program(tmp_path, "", {"retries": {"perIndex": 1}}, command=["no-such-program"])
    async with keeping(tmp_path / "runs", found) as runs:
        done = await ended(runs, await started(runs))
    assert done.message == (
        "its process cannot be started: no-such-program: No such file or directory"
    )
    assert done.attempt == 2


async def test_a_killed_process_is_an_attempt(tmp_path: Path) -> None:
    code = "note(str(os.getpid()))\nif not failures: time.sleep(60)"
    async with keeping(tmp_path / "runs", program(tmp_path, code)) as runs:
        name = await started(runs)
        async with asyncio.timeout(10):
            while not notes(tmp_path):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        os.kill(int(notes(tmp_path)[0]), 9)
        done = await ended(runs, name)
    assert (done.state, done.attempt) == (RunState.SUCCEEDED, 2)


async def test_indexes_run_so_many_at_once(tmp_path: Path) -> None:
    code = """
note(f"+{index}")
time.sleep(0.3)
note(f"-{index}")
give(index * 10)
"""
    found = program(tmp_path, code, {"completions": 4, "parallelism": 2})
    async with keeping(tmp_path / "runs", found) as runs:
        done = await ended(runs, await started(runs))
    assert done.result == [0, 10, 20, 30]
    at_once = most = 0
    for line in notes(tmp_path):
        at_once += 1 if line.startswith("+") else -1
        most = max(most, at_once)
    assert most == 2


async def test_one_index_that_failed_ends_the_run(tmp_path: Path) -> None:
    code = """
if index == 1:
    give({"error": "row 1 is no number"})
    sys.exit(64)
time.sleep(60)
"""
    found = program(tmp_path, code, {"completions": 3, "parallelism": 3})
    async with keeping(tmp_path / "runs", found) as runs:
        done = await ended(runs, await started(runs))
    assert (done.reason, done.message) == ("BadInput", "index 1: row 1 is no number")
    assert (done.indexes.failed, done.indexes.active) == (1, 0)


async def test_a_deadline_ends_a_run_with_all_that_it_started(tmp_path: Path) -> None:
    code = """
import subprocess
child = subprocess.Popen(["sleep", "600"])
note(str(child.pid))
child.wait()
"""
    found = program(tmp_path, code, {"timeoutSeconds": 1})
    async with keeping(tmp_path / "runs", found) as runs:
        done = await ended(runs, await started(runs))
    assert (done.state, done.reason) == (RunState.FAILED, "DeadlineExceeded")
    assert not is_alive(int(notes(tmp_path)[0]))


async def test_cancelling_gives_a_program_its_grace(tmp_path: Path) -> None:
    code = """
def stop(*_):
    note("told")
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
note("ready")
time.sleep(60)
"""
    async with keeping(tmp_path / "runs", program(tmp_path, code)) as runs:
        name = await started(runs)
        await noted(tmp_path, "ready")
        await runs.cancel(KEY.namespace, name)
        await runs.cancel(KEY.namespace, name)
        done = await ended(runs, name)
        assert await started(runs) == name
    assert (done.state, done.reason) == (RunState.CANCELLED, "Cancelled")
    assert notes(tmp_path) == ["ready", "told"]


async def test_a_program_that_hears_nothing_is_killed_after_its_grace(tmp_path: Path) -> None:
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN); note('ready'); time.sleep(60)"
    found = program(tmp_path, code, {"spot": {"graceSeconds": 1}})
    async with keeping(tmp_path / "runs", found) as runs:
        name = await started(runs)
        await noted(tmp_path, "ready")
        began = asyncio.get_running_loop().time()
        await runs.cancel(KEY.namespace, name)
        done = await ended(runs, name)
    assert done.state is RunState.CANCELLED
    assert 0.9 < asyncio.get_running_loop().time() - began < 5


async def test_progress_is_told_while_it_runs(tmp_path: Path) -> None:
    code = """
from torpor.checkpoint import Run
progress = Run.from_environment().progress(10, "rows")
progress.advance(4)
note("ready")
time.sleep(60)
"""
    async with keeping(tmp_path / "runs", program(tmp_path, code)) as runs:
        name = await started(runs)
        await noted(tmp_path, "ready")
        async with asyncio.timeout(10):
            while (seen := await runs.find(KEY.namespace, name, 0.1)).progress is None:
                assert not seen.state.is_final, seen
        await runs.cancel(KEY.namespace, name)
    assert seen.progress is not None
    assert (seen.progress["done"], seen.progress["total"]) == (4, 10)
    assert seen.progress["unit"] == "rows"


async def test_more_runs_than_reserved_are_refused(tmp_path: Path) -> None:
    found = program(tmp_path, "time.sleep(60)", reservedConcurrency=1)
    async with keeping(tmp_path / "runs", found) as runs:
        first = await started(runs, "one")
        with pytest.raises(RunRefused) as refused:
            await started(runs, "two")
        assert await started(runs, "one") == first
    assert (refused.value.status, refused.value.retry_after_seconds) == (429, 1)


async def test_what_is_not_there(tmp_path: Path) -> None:
    async with keeping(tmp_path / "runs", program(tmp_path, "")) as runs:
        with pytest.raises(UnknownRun):
            await runs.find(KEY.namespace, "work-1", 0)
        with pytest.raises(UnknownRun):
            await runs.cancel(KEY.namespace, "work-1")
        with pytest.raises(UnknownFunction):
            await runs.start(RunRequest(FunctionKey("default", "other"), "", "k"))


async def test_a_run_goes_on_in_the_next_session(tmp_path: Path) -> None:
    code = """
note(f"{index} {failures}")
if index == 0:
    give("first")
    sys.exit(0)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
if notes_so_far() < 3:
    time.sleep(60)
give("second")
"""
    count = "\ndef notes_so_far():\n    return len(open(place / 'notes').readlines())\n"
    found = program(tmp_path, count + code, {"completions": 2, "retries": {"perIndex": 0}})
    async with keeping(tmp_path / "runs", found) as runs:
        name = await started(runs)
        await noted(tmp_path, "1 0")
    edited = program(tmp_path, "note('another program')")
    async with keeping(tmp_path / "runs", edited) as runs:
        done = await ended(runs, name)
        assert await started(runs) == name
    assert (done.state, done.result) == (RunState.SUCCEEDED, ["first", "second"])
    assert "torpor dev was ended while it ran" in done.message
    assert notes(tmp_path) == ["0 0", "1 0", "1 0"]


async def test_runs_are_forgotten_after_their_time(tmp_path: Path) -> None:
    now = [1000.0]
    runs = LocalRuns(tmp_path / "runs", wall=lambda: now[0])
    runs.programs = {KEY: program(tmp_path, "give(1)", {"ttlSeconds": 60})}
    task = asyncio.create_task(runs.run())
    await asyncio.wait_for(runs.ready.wait(), 5)
    name = await started(runs)
    await ended(runs, name)
    now[0] += 61
    folder = tmp_path / "runs" / "default" / name
    async with asyncio.timeout(10):
        while folder.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert not list(runs.all())
    task.cancel()
    await asyncio.wait((task,))


async def test_what_a_run_wrote_and_was_given_can_be_read(tmp_path: Path) -> None:
    found = program(tmp_path, "print('hello', index)", {"completions": 2})
    async with keeping(tmp_path / "runs", found) as runs:
        name = await started(runs, given=json.dumps({"n": 1}))
        await ended(runs, name)
        texts = [file.read_text() for file in runs.logs(KEY.namespace, name).values()]
        told = await runs.details(KEY.namespace, name)
    assert texts == ["hello 0\n", "hello 1\n"]
    assert json.loads(told.input) == {"n": 1}
    assert [(one.index, one.how) for one in told.attempts] == [(0, "succeeded"), (1, "succeeded")]


@pytest.mark.parametrize(
    ("image", "end"),
    [
        ("torpor/runtime-ffmpeg", "torpor.transcode"),
        ("registry.example.com:5000/torpor/runtime-ffmpeg:1.2@sha256:ab", "torpor.transcode"),
    ],
)
def test_the_transcoders_image_needs_no_command(image: str, end: str) -> None:
    spec = {"workload": "Job", "image": image, "args": ["x"]}
    found = Program(Function.parse({"metadata": {"name": "film"}, "spec": spec}), {})
    assert found.command()[-2:] == (end, "x")


def test_another_image_needs_one() -> None:
    spec = {"workload": "Job", "image": "example.com/runtime-ffmpeg-not:1"}
    with pytest.raises(InvalidResource, match="say which command does the work"):
        Program(Function.parse({"metadata": {"name": "film"}, "spec": spec}), {})
