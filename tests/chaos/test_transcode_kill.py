"""The transcoder, killed at any time: the same bytes, and nothing made twice that was committed.

TORPOR_CHAOS_KILLS says how often it is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.chaos.report import Faults
from tests.support.checkpoint_store import Buckets, s3_buckets
from tests.support.checkpoint_victim import ended, kill
from tests.support.servers.gate import Answer, gate_to
from tests.support.servers.versitygw import needs_versitygw
from tests.support.transcode_victim import (
    begin,
    committed,
    in_hand,
    make_clip,
    objects,
    results,
    wait_for_commits,
    wait_until_still,
    work_of,
)
from torpor.checkpoint import Record, Store, Unit

pytestmark = pytest.mark.timeout(600)

KILLS = int(os.environ.get("TORPOR_CHAOS_KILLS", "20"))
CLIP_SECONDS = 8
FRAMES = CLIP_SECONDS * 24


@dataclass(frozen=True, slots=True)
class Whole:
    """A run that nothing disturbed."""

    request: dict[str, Any]
    seconds: float
    results: dict[str, str]
    objects: set[str]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    request = {
        "source": str(make_clip(folder / "clip.mp4", CLIP_SECONDS)),
        "variants": ["h264", "hevc"],
        "unitSeconds": 2,
        "threads": 1,
        "speed": "draft",
        "devices": "cpu",
    }
    began = time.monotonic()
    code, _, said = ended(begin(folder, request, {}))
    assert code == 0, said
    store = store_in(folder)
    return Whole(request, time.monotonic() - began, results(store), objects(store))


def store_in(folder: Path) -> Store:
    return Store.open(str(folder / "store"))


def when_written(store: Store) -> dict[str, int]:
    """The time of each record's file."""
    root = Path(store.url)
    keys = [entry.key for entry in store.list() if "/seg/" in entry.key]
    return {key: (root / key).stat().st_mtime_ns for key in keys if key.endswith(".json")}


@dataclass
class Life:
    """One work in one folder, whose worker is started again and again."""

    folder: Path
    whole: Whole
    chance: Random
    kills: int = 0
    starts: int = 0

    def to_the_end(self, **changed: Any) -> None:
        """Kill the worker at random points until it ends by itself."""
        seen: dict[Unit, Record] = {}
        written: dict[str, int] = {}
        while True:
            code = self._start(**changed)
            now, times = committed(store_in(self.folder)), when_written(store_in(self.folder))
            assert seen.items() <= now.items()
            assert written.items() <= times.items()
            assert {now[unit].attempt for unit in now.keys() - seen.keys()} <= {self.starts}
            seen, written = now, times
            if code is not None:
                assert code == 0
                return

    def _start(self, **changed: Any) -> int | None:
        """Start it, kill it with all that it started, and return its code if it ended before."""
        environment = {"TORPOR_FAILURES": str(self.starts)}
        self.starts += 1
        program = begin(self.folder, {**self.whole.request, **changed}, environment)
        try:
            return ended(program, self.chance.uniform(0.2, self.whole.seconds * 0.8))[0]
        except subprocess.TimeoutExpired:
            self.kills += 1
            kill(program)
            wait_until_still(self.folder)
            return None


def test_killed_at_random_points_its_files_are_the_same_bytes(
    whole: Whole, tmp_path: Path, faults: Faults
) -> None:
    chance, kills, lives = Random(5), 0, 0
    while kills < KILLS:
        lives += 1
        life = Life(tmp_path / str(lives), whole, chance)
        life.to_the_end()
        store = store_in(life.folder)
        assert results(store) == whole.results
        assert objects(store) == whole.objects
        kills += life.kills
    lost = f"no unit that was committed; the same bytes {lives} times"
    faults.add("transcode worker killed at random points", kills, lost)


def test_killed_in_stream_mode_no_frame_is_lost_or_doubled(
    whole: Whole, tmp_path: Path, faults: Faults
) -> None:
    life = Life(tmp_path, whole, Random(3))
    life.to_the_end(mode="stream")
    work = work_of(store_in(tmp_path))
    assert work is not None
    done = work.finished()
    assert done is not None
    assert [variant["frames"] for variant in done["variants"]] == [FRAMES, FRAMES]
    faults.add("transcode worker killed in stream mode", life.kills, f"none of {FRAMES} frames")


def test_two_workers_on_one_plan_make_the_same_bytes(
    whole: Whole, tmp_path: Path, faults: Faults
) -> None:
    programs = [begin(tmp_path, whole.request, {}) for _ in range(2)]
    assert [ended(program, 60)[0] for program in programs] == [0, 0]
    assert results(store_in(tmp_path)) == whole.results
    assert objects(store_in(tmp_path)) == whole.objects
    faults.add("transcode index started twice", 1, "nothing: the same bytes")


@needs_versitygw
def test_a_store_that_fails_for_a_while_changes_nothing(
    whole: Whole, buckets: Buckets, tmp_path: Path, faults: Faults
) -> None:
    url = buckets.new()
    store = buckets.store(url)
    with gate_to(buckets.server.url) as gate:
        told = {**buckets.options(AWS_ENDPOINT_URL=gate.url), "TORPOR_CHECKPOINT": url}
        program = begin(tmp_path, whole.request, told)
        wait_for_commits(store, 2, program)
        gate.rule = lambda method, path: Answer(503, "SlowDown")
        gate.wait_hindered(8)
        gate.open()
        assert ended(program, 60)[0] == 0
    assert gate.hindered >= 8
    assert results(store) == whole.results
    assert objects(store) == whole.objects
    faults.add("object store answers 503", gate.hindered, "nothing: the same bytes")


@pytest.fixture(scope="module")
def buckets() -> Iterator[Buckets]:
    with s3_buckets() as found:
        yield found


@pytest.mark.parametrize("grace_seconds", [60, 4])
def test_asked_to_stop_it_keeps_whole_units_only(
    whole: Whole, tmp_path: Path, grace_seconds: int, faults: Faults
) -> None:
    """With a long grace the unit in hand is finished, with a short one it is dropped."""
    store = store_in(tmp_path)
    program = begin(tmp_path, whole.request, {"TORPOR_GRACE_SECONDS": str(grace_seconds)})
    wait_for_commits(store, 2, program)
    encoder, unit = in_hand(tmp_path)
    if grace_seconds < 60:
        os.kill(encoder, signal.SIGSTOP)  # so that it cannot be ready by chance
    program.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert ended(program, 60)[0] == 143
    assert time.monotonic() - began < grace_seconds
    wait_until_still(tmp_path)
    kept = {found.name: record.object for found, record in committed(store).items()}
    assert (unit in kept) == (grace_seconds == 60)
    assert 2 <= len(kept) < len(whole.objects)
    assert objects(store) == {name.removeprefix("seg/") for name in kept.values()}
    assert list((tmp_path / "scratch").iterdir()) == []
    assert ended(begin(tmp_path, whole.request, {}))[0] == 0
    assert results(store) == whole.results
    assert objects(store) == whole.objects
    lost = "nothing" if grace_seconds == 60 else "the unit in hand"
    faults.add(f"transcode worker told to stop, {grace_seconds} s of grace", 1, lost)
