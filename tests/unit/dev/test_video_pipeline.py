"""The folder of examples/video-pipeline: whole, taken, and with the retries that it promises."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from torpor.dev.folder import Folder, load_folder
from torpor.resources.trigger import TargetKind

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "video-pipeline"


@pytest.fixture(scope="module")
def folder() -> Folder:
    return load_folder(EXAMPLE)


@pytest.fixture(scope="module")
def states() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLE / "pipeline.yaml").read_text())
    return {**found["spec"]["definition"]["States"]}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The program that serves videos, over a bucket with ten bytes of one."""
    (tmp_path / "videos" / "v").mkdir(parents=True)
    (tmp_path / "videos" / "v" / "h.mp4").write_bytes(b"0123456789")
    monkeypatch.setenv("STORE", f"file://{tmp_path}")
    monkeypatch.syspath_prepend(EXAMPLE / "video-code")
    yield importlib.import_module("library")
    for name in ("library", "bucket", "database"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=2-4", b"234"),
        ("bytes=8-", b"89"),
        ("bytes=8-99", b"89"),
        ("bytes=5-2", None),
        ("bytes=10-", None),
        (None, None),
    ],
)
def test_a_player_gets_the_part_that_it_asks_for(
    library: Any, wanted: str | None, part: bytes | None
) -> None:
    status, headers, body = library.sent("v", "h.mp4", wanted)
    if part is None:
        assert (status, b"".join(body)) == (200, b"0123456789")
    else:
        first = int(part[:1])
        told = f"bytes {first}-{first + len(part) - 1}/10"
        assert (status, headers["Content-Range"], body) == (206, told, part)


def test_no_part_is_larger_than_memory_has_room_for(library: Any) -> None:
    found = library._RANGE.fullmatch("bytes=7-")
    assert library.asked(found, 1 << 40) == (7, 7 + library._MOST_BYTES)


def test_an_upload_that_is_sent_again_leaves_its_object_in_the_first_trace(
    library: Any, tmp_path: Path
) -> None:
    bucket = sys.modules["bucket"]
    assert bucket.put_new("incoming/v.mp4", b"film", "first") is True
    assert bucket.put_new("incoming/v.mp4", b"film", "second") is False
    told = json.loads((tmp_path / ".metadata" / "incoming" / "v.mp4").read_text())
    assert told == {"traceparent": "first"}


@pytest.fixture
def media(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(EXAMPLE / "video-code")
    yield importlib.import_module("media")
    sys.modules.pop("media", None)


def test_a_video_of_one_frame_has_a_thumbnail(media: Any, tmp_path: Path) -> None:
    film, picture = str(tmp_path / "film.mp4"), tmp_path / "picture.jpg"
    media._run("ffmpeg", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=1", "-t", "1", film)
    media.still(film, media.probe(film)["seconds"] / 10, str(picture))
    assert picture.read_bytes().startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        ('{"errorMessage": "no picture", "stackTrace": ["/home"]}', "NotAVideo: no picture"),
        ('{"state": "Failed", "message": "no picture"}', "NotAVideo: no picture"),
        ("it took too long", "NotAVideo: it took too long"),
        ("[1]", "NotAVideo: [1]"),
    ],
)
def test_a_row_says_why_without_a_stack_trace(
    monkeypatch: pytest.MonkeyPatch, cause: str, told: str
) -> None:
    monkeypatch.syspath_prepend(EXAMPLE / "video-code")
    catalog = importlib.import_module("catalog")
    try:
        assert catalog.said({"Error": "NotAVideo", "Cause": cause}) == told
    finally:
        for name in ("catalog", "database"):
            sys.modules.pop(name, None)


def test_every_trigger_and_task_has_its_target(folder: Folder) -> None:
    functions = {key.name for key in folder.functions}
    targets = [local.trigger.target for local in folder.triggers.values()]
    assert {one.name for one in targets if one.kind is TargetKind.FUNCTION} <= functions
    assert {one.name for one in targets if one.kind is TargetKind.WORKFLOW} == {"pipeline"}
    text = (EXAMPLE / "pipeline.yaml").read_text()
    for name in ("prepare", "thumbnail", "catalog"):
        assert f"arn:aws:lambda:{name}" in text
        assert name in functions
    assert "torpor:job:transcode.sync" in text


def test_every_handler_is_in_the_code(folder: Folder) -> None:
    for entry in folder.functions.values():
        function = entry.program.function
        if function.handler:
            assert f"{function.handler.partition('.')[0]}.py" in entry.program.files


def test_all_but_who_is_asked_directly_are_soon_at_zero(folder: Folder) -> None:
    services = [entry.program.function for entry in folder.functions.values()]
    assert all(each.scaling.idle_seconds <= 5 for each in services if each.job is None)
    assert all(each.scaling.min_replicas == 0 for each in services)


def test_calls_are_tried_again_at_once_and_often(states: dict[str, Any]) -> None:
    for name in ("Prepare", "TellSuccess", "TellFailure"):
        never, calls = states[name]["Retry"]
        assert (never["ErrorEquals"], never["MaxAttempts"]) == (["NotAVideo"], 0)
        assert (calls["MaxAttempts"], calls["IntervalSeconds"]) == (10, 1)
        assert calls["BackoffRate"] == 1


def test_encoding_is_tried_again_seldom_and_at_no_fixed_time(states: dict[str, Any]) -> None:
    encode, _ = states["Make"]["Branches"]
    never, retry = encode["States"]["Encode"]["Retry"]
    assert (never["ErrorEquals"], never["MaxAttempts"]) == (["Job.BadInput"], 0)
    assert (retry["MaxAttempts"], retry["IntervalSeconds"]) == (3, 300)
    assert retry["JitterStrategy"] == "FULL"


def test_whatever_fails_for_good_becomes_a_row(states: dict[str, Any]) -> None:
    for name in ("Prepare", "Make"):
        [caught] = states[name]["Catch"]
        assert caught["ErrorEquals"] == ["States.ALL"]
        assert caught["Next"] == "TellFailure"
    assert states["TellFailure"]["Next"] == "NotMade"
