"""The transcoder as a run: shares of several indexes, both modes, stopping and going on."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.clips import drawn
from tests.support.transcoding import farthest_seconds, request, seen, transcoded
from torpor.checkpoint import PlanDiffers, Run, Stop, Stopped
from torpor.transcode.model import Mode
from torpor.transcode.preparing import CannotFollow

FRAMES = 240


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return drawn(tmp_path / "a.mp4", "-bf", "3", seconds=8)


def records(store: Path) -> dict[str, dict[str, Any]]:
    """What is committed, by unit."""
    found = [json.loads(path.read_text()) for path in store.glob("**/seg/**/*.json")]
    return {record["unit"]: record for record in found}


class OnceCommitted(Stop):
    """Asked to stop as soon as anything is committed below a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(25.0)
        self._folder = folder
        self._looking = False

    @property
    def requested(self) -> bool:
        if not self._looking and not super().requested:
            self._looking = True
            if records(self._folder):
                self.request()
            self._looking = False
        return super().requested


async def test_each_index_makes_its_share_and_the_last_one_finishes(
    source: Path, tmp_path: Path
) -> None:
    wanted, store = request(source, tmp_path / "out"), str(tmp_path / "store")
    first = await transcoded(wanted, Run(index=0, completions=2, store_url=store))
    assert first == {"committed": 2, "units": 4}
    assert not (tmp_path / "out" / "done.json").exists()
    last = await transcoded(wanted, Run(index=1, completions=2, store_url=store))
    assert last["variants"][0]["frames"] == FRAMES
    workers = {record["facts"]["worker"] for record in records(tmp_path / "store").values()}
    assert len(workers) == 2


@pytest.mark.parametrize("harm", ["removed", "damaged"])
async def test_what_is_lost_of_an_index_that_has_ended_is_made_by_the_last(
    harm: str, source: Path, tmp_path: Path
) -> None:
    wanted, store = request(source, tmp_path / "out"), str(tmp_path / "store")
    await transcoded(wanted, Run(index=0, completions=2, store_url=store))
    (lost,) = (tmp_path / "store").glob("**/h264-90p/00000-*.mp4")
    lost.unlink() if harm == "removed" else lost.write_bytes(bytes(lost.stat().st_size))
    shown: list[Mapping[str, Any]] = []
    last = await transcoded(wanted, Run(index=1, completions=2, store_url=store), shown.append)
    assert last["variants"][0]["frames"] == FRAMES
    assert seen(tmp_path / "out" / last["variants"][0]["path"]).frames == FRAMES
    assert all((each["ratio"] or 0) <= 1 for each in shown)
    assert list((tmp_path / "store").glob("ends/local/*-of-2"))


async def test_two_workers_of_one_index_give_one_result(source: Path, tmp_path: Path) -> None:
    wanted, store = request(source, tmp_path / "out"), str(tmp_path / "store")
    both = [transcoded(wanted, Run(store_url=store)) for _ in range(2)]
    one, other = await asyncio.gather(*both)
    assert one["outputs"] == other["outputs"]
    alone = await transcoded(request(source, tmp_path / "alone"))
    assert alone["variants"][0]["sha256"] == one["variants"][0]["sha256"]


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_run_that_was_stopped_goes_on_and_makes_nothing_twice(
    mode: Mode, source: Path, tmp_path: Path
) -> None:
    wanted, out = request(source, tmp_path / "out", mode=mode, threads=1), tmp_path / "out"
    with pytest.raises(Stopped):
        await transcoded(wanted, Run(stop=OnceCommitted(out)))
    before = records(out)
    assert list(before) == ["h264-90p/00000"]
    result = await transcoded(wanted, Run(attempt=2))
    after = records(out)
    assert [after[name]["attempt"] for name in sorted(after)] == [1, 2, 2, 2]
    assert after["h264-90p/00000"] == before["h264-90p/00000"]
    made = seen(tmp_path / "out" / result["variants"][0]["path"])
    assert farthest_seconds(made, seen(source)) <= 0.001
    assert made.keyframes == [0, 60, 120, 180]


async def test_what_is_stopped_and_resumed_is_the_same_bytes(source: Path, tmp_path: Path) -> None:
    wanted = request(source, tmp_path / "out", threads=1)
    with pytest.raises(Stopped):
        await transcoded(wanted, Run(stop=OnceCommitted(tmp_path / "out")))
    resumed = await transcoded(wanted)
    whole = await transcoded(request(source, tmp_path / "whole", threads=2))
    assert resumed["variants"][0]["sha256"] == whole["variants"][0]["sha256"]


async def test_a_run_that_is_done_is_told_and_what_is_lost_of_it_made_again(
    source: Path, tmp_path: Path
) -> None:
    wanted, rung = request(source, tmp_path / "out"), tmp_path / "out" / "h264-90p.mp4"
    first, content = await transcoded(wanted), rung.read_bytes()
    assert await transcoded(wanted) == first
    rung.unlink()
    again = await transcoded(wanted)
    assert (again["outputs"], rung.read_bytes()) == (first["outputs"], content)


async def test_other_work_in_the_same_place_is_refused(source: Path, tmp_path: Path) -> None:
    await transcoded(request(source, tmp_path / "out"))
    with pytest.raises(PlanDiffers, match="of another source or other options"):
        await transcoded(request(source, tmp_path / "out", variants=("hevc",)))


async def test_a_node_without_the_planned_encoder_says_so(source: Path, tmp_path: Path) -> None:
    wanted = request(source, tmp_path / "out")
    with pytest.raises(Stopped):
        await transcoded(wanted, Run(stop=OnceCommitted(tmp_path / "out")))
    place = tmp_path / "out" / "plan.json"
    plan = json.loads(place.read_text())
    plan["variants"][0]["encoder"] = "h264_nvenc"
    place.write_text(json.dumps(plan))
    with pytest.raises(CannotFollow, match="h264_nvenc, which does not work on this node"):
        await transcoded(wanted)


async def test_progress_reaches_the_whole_and_never_passes_it(source: Path, tmp_path: Path) -> None:
    shown: list[Mapping[str, Any]] = []
    await transcoded(request(source, tmp_path / "out"), watch=shown.append)
    assert shown[-1]["done"] == shown[-1]["total"] == FRAMES
    assert all((each["ratio"] or 0) <= 1 for each in shown)


async def test_bad_input_is_exit_64_with_the_reason_as_the_result(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps({"source": str(tmp_path / "none.mp4")}))
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "torpor.transcode",
        env={
            "TORPOR_INPUT": str(tmp_path / "in.json"),
            "TORPOR_OUTPUT": str(tmp_path / "out.json"),
            "TORPOR_CHECKPOINT": str(tmp_path / "store"),
        },
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await asyncio.wait_for(worker.communicate(), 30)
    assert worker.returncode == 64
    reason = f"there is no file {tmp_path / 'none.mp4'}"
    assert json.loads((tmp_path / "out.json").read_text()) == {"error": reason}
    assert told.decode().count("\n") == 1


async def started(tmp_path: Path, given: Mapping[str, Any], **environment: str) -> int | None:
    """Start the program as a pod does, to its end; its result is `out.json`."""
    (tmp_path / "in.json").write_text(json.dumps(given))
    files = {"TORPOR_INPUT": tmp_path / "in.json", "TORPOR_OUTPUT": tmp_path / "out.json"}
    told = {**{name: str(path) for name, path in files.items()}, **environment}
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "torpor.transcode", env=told, stderr=asyncio.subprocess.DEVNULL
    )
    return await asyncio.wait_for(worker.wait(), 60)


async def test_the_result_of_a_run_is_brief_and_says_where_the_whole_is(
    source: Path, tmp_path: Path
) -> None:
    given = {"source": str(source), "to": str(tmp_path / "out"), "variants": ["h264"]}
    assert await started(tmp_path, {**given, "speed": "draft", "package": ["hls"]}) == 0
    brief = json.loads((tmp_path / "out.json").read_text())
    whole = json.loads((tmp_path / "out" / "done.json").read_text())
    assert brief["done"] == str(tmp_path / "out" / "done.json")
    assert brief["cost"] == whole["cost"]
    assert [each["frames"] for each in brief["variants"]] == [FRAMES]
    assert await started(tmp_path, {**given, "speed": "draft", "package": ["hls"]}) == 0
    assert json.loads((tmp_path / "out.json").read_text()) == brief


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "of the pod's own disk"),
        ({"TORPOR_COMPLETIONS": "2"}, "several pods share no folder"),
        ({"TORPOR_TARGETS": "s3://media"}, "none of the places that TORPOR_TARGETS"),
        ({"TORPOR_SOURCES": "s3://media"}, "none of the places that TORPOR_SOURCES"),
    ],
)
async def test_places_that_the_pod_may_not_use_are_refused_for_good(
    environment: dict[str, str], reason: str, source: Path, tmp_path: Path
) -> None:
    given = {"source": str(source), "to": str(tmp_path / "out")}
    assert await started(tmp_path, given, **environment) == 64
    assert reason in json.loads((tmp_path / "out.json").read_text())["error"]
    assert not (tmp_path / "out").exists()
