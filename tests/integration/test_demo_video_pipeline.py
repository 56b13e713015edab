"""examples/video-pipeline: its demo, and what it does with what is wrong, too much, or repeated."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clips import cut_off, drawn, ffmpeg
from tests.support.pipeline import EXAMPLE, Pipeline, pipeline
from tests.support.postgres import needs_postgres
from tests.support.servers.nats import needs_nats

pytestmark = [needs_nats, needs_postgres, pytest.mark.timeout(240)]
MANY = 25
"""More uploads than `upload` lets wait."""
UNREADABLE = b"\0\0\0\x18ftypisom" + bytes(1000)
"""It begins as a video does, and is none."""


@pytest.fixture(scope="module")
def running() -> Iterator[Pipeline]:
    with pipeline() as found:
        yield found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=12, size="320x240")


def demonstrated(running: Pipeline, clip: Path) -> tuple[int, str]:
    """Return the demo's exit status and what it said."""
    command = [sys.executable, str(EXAMPLE / "demo.py"), "--clip", str(clip)]
    done = subprocess.run(
        command, env=running.environment, capture_output=True, text=True, timeout=180
    )
    return done.returncode, done.stdout + done.stderr


def test_the_demo_sees_all_of_it_right(running: Pipeline, clip: Path) -> None:
    status, told = demonstrated(running, clip)
    assert status == 0, told
    right = [line.split(None, 1)[1] for line in told.splitlines() if line.startswith("  right ")]
    expected = [
        "h264-240p.mp4: 360 of 360 frames",
        "thumbnail.jpg: a JPEG of",
        "the execution SUCCEEDED",
        "the catalog's row: 1 variants",
        "the event on the bus `media`",
        "one trace: 1 root, 0 orphans",
    ]
    assert len(right) == len(expected)
    assert all(map(str.startswith, right, expected)), told
    assert "WRONG" not in told
    assert "default/transcode  █" in told, f"the run's progress was not shown: {told}"
    assert "cold starts  " in told


def test_the_demo_says_what_is_wrong(running: Pipeline, tmp_path: Path) -> None:
    for body, why in (
        (b"no video", "WRONG: POST /videos answered 415"),
        (UNREADABLE, "WRONG: NotAVideo: "),
    ):
        clip = tmp_path / "clip.mp4"
        clip.write_bytes(body)
        status, told = demonstrated(running, clip)
        assert status == 1, told
        assert why in told
        assert "Traceback" not in told


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "size"),
        (b"no video", 415, "not-a-video"),
        (b"%PDF-1.7" * 100, 415, "not-a-video"),
    ],
)
def test_a_wrong_upload_is_refused(running: Pipeline, body: bytes, status: int, code: str) -> None:
    answer = running.call("/videos", body)
    assert (answer.status, answer.json()["type"]) == (status, f"urn:video-pipeline:{code}")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_video_that_cannot_be_read_is_a_failed_row_at_once(running: Pipeline) -> None:
    taken = running.call("/videos", UNREADABLE)
    assert taken.status == 202
    place = taken.json()["location"]
    running.in_time(lambda: running.call(place).status == 200)
    row = running.call(place).json()
    assert row["status"] == "failed"
    assert row["problem"].startswith("NotAVideo: ")
    assert running.call(f"{place}/").status == 404, "a page was made of nothing"


def test_a_video_that_is_cut_off_is_given_up_by_the_transcoder_at_once(
    running: Pipeline, clip: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.mp4"
    ffmpeg("-i", clip, "-c", "copy", "-movflags", "faststart", whole)  # its index is kept
    answer = running.call("/videos", cut_off(whole, tmp_path / "half.mp4", 0.5).read_bytes())
    place = answer.json()["location"]
    running.in_time(lambda: running.call(place).status == 200)
    row = running.call(place).json()
    assert row["status"] == "failed"
    assert row["problem"].startswith("Job.BadInput: ")
    assert "the source" in row["problem"]
    assert "{" not in row["problem"], "it is no sentence"


def test_one_key_is_one_video_however_often_it_is_sent(running: Pipeline, clip: Path) -> None:
    key = {"Idempotency-Key": "one-and-the-same"}
    answers = [running.call("/videos", clip.read_bytes(), **key) for _ in range(2)]
    assert [answer.status for answer in answers] == [202, 202]
    [place] = {answer.json()["location"] for answer in answers}
    assert running.call(place).status in (202, 200), "it is not known before it is ready"
    assert running.call("/videos/never-sent").status == 404
    running.in_time(lambda: running.call(f"{place}/").status == 200)
    row = running.call(place).json()
    machine = row["execution"].replace(":execution:", ":stateMachine:").rpartition(":")[0]
    # The same upload once more, as when its event is told twice: nothing is made again.
    again = running.aws(
        "TORPOR_WORKFLOWS",
        "AWSStepFunctions.StartExecution",
        stateMachineArn=machine,
        input=json.dumps({"key": f"incoming/{row['id']}.mp4"}),
    )
    told = running.in_time(lambda: _ended(running, again["executionArn"]))
    assert told["status"] == "SUCCEEDED"
    assert json.loads(told["output"])["known"] is True
    assert running.call(place).json() == row


def test_an_upload_over_the_threshold_is_handled_at_once(running: Pipeline, clip: Path) -> None:
    running.torpor("trigger", "pause", "encode")
    try:
        running.torpor("chaos", "fill-queue", "uploads", "--messages", str(MANY))
        answer = running.call("/videos", clip.read_bytes())
    finally:
        running.torpor("trigger", "resume", "encode")
    assert answer.status == 200, answer.body
    assert answer.json()["status"] == "ready"
    assert running.call(answer.json()["location"]).json()["execution"] == answer.json()["execution"]
    running.in_time(lambda: _waiting(running) == 0)
    assert running.call("/videos", clip.read_bytes()).status == 202


def _ended(running: Pipeline, arn: str) -> dict[str, str] | None:
    target = "AWSStepFunctions.DescribeExecution"
    found: dict[str, str] = running.aws("TORPOR_WORKFLOWS", target, executionArn=arn)
    return found if found["status"] != "RUNNING" else None


def _waiting(running: Pipeline) -> int:
    found = running.aws(
        "TORPOR_EVENTS",
        "AmazonSQS.GetQueueAttributes",
        QueueUrl="uploads",
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    return sum(map(int, found["Attributes"].values()))
