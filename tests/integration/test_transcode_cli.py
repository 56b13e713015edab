"""`torpor transcode` as people type it: made, stopped, gone on with, verified, refused."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.checkpoint_store import s3_buckets
from tests.support.clips import ffmpeg
from tests.support.servers.versitygw import needs_versitygw
from torpor.checkpoint import Store
from torpor.transcode.tools import find_tools

_TORPOR = (sys.executable, "-m", "torpor.cli.main", "transcode")
_QUICK = ("--variants", "h264", "--speed", "draft", "--unit-seconds", "2", "--threads", "1")
_SECONDS = 60.0


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "a clip.mp4"
    words = path.with_name("words.srt")
    words.write_text("1\n00:00:01,900 --> 00:00:04,100\nacross a unit's end\n")
    video = "testsrc2=s=320x180:r=25,negate=enable='gte(mod(t,4),2)'"
    inputs = ("-f", "lavfi", "-i", video, "-f", "lavfi", "-i", "sine=r=48000")
    text = ("-i", words, "-map", "0", "-map", "1", "-map", "2", "-c:s", "mov_text")
    tags = ("-metadata:s:s:0", "language=eng")
    ffmpeg(*inputs, *text, *tags, "-t", "6", "-preset", "ultrafast", "-c:a", "aac", path)
    return path


def torpor(
    *words: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    told = [*_TORPOR, *map(str, words)]
    surroundings = {**os.environ, **(environment or {})}
    return subprocess.run(told, capture_output=True, text=True, env=surroundings, timeout=_SECONDS)


def sums(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a result, apart from what tells of time."""
    kept = (folder / "seg", folder / "cost", folder / ".staging")
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "done.json" and not any(map(path.is_relative_to, kept))
    }


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole result of the source."""
    target = tmp_path_factory.mktemp("made") / "out"
    done = torpor("run", source, *_QUICK, "--package", "hls,dash", "--to", target)
    assert done.returncode == 0, done.stderr
    return target


def test_the_result_tells_of_every_file(made: Path) -> None:
    result = json.loads((made / "done.json").read_text())
    told = {each["path"]: each["sha256"] for each in result["outputs"]}
    assert told == {path: sha for path, sha in sums(made).items() if path != "plan.json"}
    assert {"h264-180p.mp4", "master.m3u8", "manifest.mpd", "poster.jpg"} <= told.keys()
    (variant,) = result["variants"]
    assert (variant["frames"], variant["encoder"]) == (150, "libx264")
    assert variant["lowestSsim"] > 0.9
    assert result["cost"]["total"]["cost"] > 0
    assert result["prices"]["asOf"]


def test_subtitles_are_whole_beside_the_segments(made: Path) -> None:
    master = (made / "master.m3u8").read_text()
    assert 'TYPE=SUBTITLES,GROUP-ID="subtitles",NAME="eng",LANGUAGE="eng"' in master
    assert 'URI="subtitles/2-eng.vtt.m3u8"' in master
    words = (made / "subtitles" / "2-eng.vtt").read_text()
    assert "00:01.900 --> 00:04.100\nacross a unit's end" in words
    assert "<BaseURL>subtitles/2-eng.vtt</BaseURL>" in (made / "manifest.mpd").read_text()


def test_nothing_is_put_in_its_place_that_fails_a_gate(source: Path, tmp_path: Path) -> None:
    here = ("run", source, *_QUICK, "--to", tmp_path / "out")
    refused = torpor(*here, "--least-ssim", "1")
    assert refused.returncode == 1
    assert "h264-180p shows at frame" in refused.stderr
    assert not list((tmp_path / "out").glob("*.mp4"))
    assert not (tmp_path / "out" / "done.json").exists()
    units = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/seg/**/*.mp4")}
    done = torpor(*here)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in units} == units


def test_run_again_it_makes_nothing_again(source: Path, made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()}
    done = torpor("run", source, *_QUICK, "--package", "hls,dash", "--to", made, "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((made / "done.json").read_text())
    assert before == {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()}


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_what_was_stopped_goes_on_to_the_same_result(
    source: Path, made: Path, tmp_path: Path, with_signal: signal.Signals
) -> None:
    target = tmp_path / "out"
    told = [*_TORPOR, "run", str(source), *_QUICK, "--package", "hls,dash", "--to", str(target)]
    slow = {**os.environ, "TORPOR_FFMPEG": str(never_makes_the_second_unit(tmp_path))}
    with subprocess.Popen(told, stderr=subprocess.PIPE, text=True, env=slow) as first:
        wait_for_a_unit(target)
        first.send_signal(with_signal)
        _, said = first.communicate(timeout=_SECONDS)
    assert first.returncode == (-with_signal if with_signal == signal.SIGKILL else 143), said
    assert (with_signal == signal.SIGKILL) != ("the same command goes on" in said)
    assert not (target / "done.json").exists()
    assert not list(target.glob("*.mp4"))
    done = torpor(*told[len(_TORPOR) :])
    assert done.returncode == 0, done.stderr
    found, expected = sums(target), sums(made)
    del found["plan.json"], expected["plan.json"]  # it tells the address
    assert found == expected


def never_makes_the_second_unit(folder: Path) -> Path:
    """Return an ffmpeg that hangs there, so that a signal finds the unit in hand."""
    tools = find_tools()
    hanging = folder / "ffmpeg"
    hangs = 'case "$*" in *-00001.mp4*) exec sleep 60;; esac'
    hanging.write_text(f'#!/bin/sh\n{hangs}\nexec {tools.ffmpeg} "$@"\n')
    hanging.chmod(0o755)
    (folder / "ffprobe").symlink_to(tools.ffprobe)
    return hanging


def wait_for_a_unit(target: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while not list(target.glob("seg/*/*/*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_verify_finds_what_is_wrong(source: Path, made: Path, tmp_path: Path) -> None:
    done = torpor("verify", source, "--to", made)
    assert done.returncode == 0, done.stderr
    assert "h264-180p   150      3" in done.stdout
    (tmp_path / "plan.json").write_bytes((made / "plan.json").read_bytes())
    cut = ("-c", "copy", "-t", "4", str(tmp_path / "h264-180p.mp4"))
    ffmpeg("-i", str(made / "h264-180p.mp4"), *cut)
    wrong = torpor("verify", source, "--to", tmp_path, "-o", "json")
    assert wrong.returncode == 1
    (first, *_) = json.loads(wrong.stdout)["failures"]
    assert first.startswith("h264-180p has 1")
    (tmp_path / "h264-180p.mp4").unlink()
    gone = torpor("verify", source, "--to", tmp_path)
    assert (gone.returncode, gone.stdout.splitlines()[-1]) == (1, "h264-180p is missing")


def test_a_plan_makes_nothing(source: Path, tmp_path: Path) -> None:
    done = torpor("plan", source, "--variants", "h264", "-o", "json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert [variant["name"] for variant in plan["variants"]] == ["h264-180p"]
    assert plan["source"]["video"]["frames"] == 150
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no-such.mp4",), "there is no file no-such.mp4"),
        ((__file__,), "the source is not a video that can be read"),
        (("{source}", "--variants", "h264-4320p"), "no variant is called h264-4320p"),
        (("{source}", "--prices", __file__), "cannot be read as prices"),
        (("{source}", "--threads", "1000"), "it must be 0 to 64"),
        (("{source}", "--package", "hls,smooth"), "--package smooth: write hls, dash or hls,dash"),
        (("{source}", "--least-ssim", "nan"), "--least-ssim nan: it is 0 to 1"),
        (("{source}", "--scratch", "no-such"), "--scratch no-such: there is no such folder"),
    ],
)
def test_what_no_other_try_mends_exits_64(
    source: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    given = [word.replace("{source}", str(source)) for word in words]
    done = torpor("run", *given, "--to", tmp_path / "out")
    assert (done.returncode, done.stdout) == (64, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_other_work_in_the_same_place_is_refused(source: Path, made: Path) -> None:
    done = torpor("run", source, "--variants", "h264", "--to", made)
    assert done.returncode == 64
    assert "give this work a place of its own" in done.stderr


def test_a_source_among_the_results_is_not_replaced(source: Path, tmp_path: Path) -> None:
    film = tmp_path / "h264-180p.mp4"
    film.write_bytes(source.read_bytes())
    done = torpor("run", film, *_QUICK, "--to", tmp_path)
    assert (done.returncode, "the source lies where the results go" in done.stderr) == (64, True)
    assert film.read_bytes() == source.read_bytes()
    assert list(tmp_path.iterdir()) == [film]


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[str, Mapping[str, str]]]:
    with s3_buckets() as buckets:
        yield buckets.new(), buckets.options()


@needs_versitygw
def test_source_and_results_may_be_in_an_object_store(
    source: Path, made: Path, tmp_path: Path, bucket: tuple[str, Mapping[str, str]]
) -> None:
    url, environment = bucket
    store = Store.open(url, options=environment)
    store.upload(source, "in/clip.mp4")
    here = (f"{url}/in/clip.mp4", "--to", f"{url}/out")
    done = torpor("run", *here, *_QUICK, environment=environment)
    assert done.returncode == 0, done.stderr
    store.download("out/h264-180p.mp4", tmp_path / "rung.mp4")
    assert (tmp_path / "rung.mp4").read_bytes() == (made / "h264-180p.mp4").read_bytes()
    judged = torpor("verify", *here, environment=environment)
    assert judged.returncode == 0, judged.stderr
