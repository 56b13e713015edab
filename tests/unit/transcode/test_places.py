"""Where results may go and sources may be: refused before anything is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from torpor.checkpoint import BadInput, CheckpointError
from torpor.transcode.places import SOURCES, Reach, check_apart, check_kept, check_target

POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    "to",
    ["s3:/bucket/out", "s3:bucket", "s3://", "ftp://h/out", "https://h/out", "/dev/null"],
)
def test_what_can_take_no_results_is_refused_for_good(to: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        check_target(to)
    assert caught.value.exit_code == 64


@pytest.mark.parametrize("to", ["", "out", "a:b", "s3://bucket", "gs://b/p", "file:///out"])
def test_stores_and_folders_take_results(to: str) -> None:
    check_target(to)


@pytest.mark.parametrize(
    ("to", "store", "completions", "reason"),
    [
        ("", "", 1, "no `to`"),
        ("out", "s3://b", 1, "of the pod's own disk"),
        ("/tmp/out", "s3://b", 1, "of the pod's own disk"),
        ("/results", "", 2, "several pods share no folder"),
    ],
)
def test_results_that_would_go_with_their_pod_are_refused(
    to: str, store: str, completions: int, reason: str
) -> None:
    with pytest.raises(BadInput, match=reason):
        check_kept(to, store, completions, POD)


@pytest.mark.parametrize(
    ("to", "store", "completions"),
    [("s3://b/out", "", 9), ("", "s3://b", 9), ("/dev/shm/out", "", 1), ("/proc", "s3://b", 2)],
)
def test_stores_and_mounted_volumes_keep_results(to: str, store: str, completions: int) -> None:
    check_kept(to, store, completions, POD)


def test_a_folder_of_this_machine_keeps_results_without_a_pod() -> None:
    check_kept("out", "", 1, {})


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("s3://media/in/film.mp4", True),
        ("s3://media/in", True),
        ("s3://media/inside/film.mp4", False),
        ("s3://media/in/../secret.mp4", False),
        ("s3://media/in/%2e%2e/secret.mp4", False),
        ("https://CDN.example/a.mp4?sig=1", True),
        ("https://cdn.example@evil.example/a.mp4", False),
        ("https://cdn.example.evil.example/a.mp4", False),
        ("http://cdn.example/a.mp4", False),
        ("http://169.254.169.254/latest", False),
        ("{}/in/a.mp4", True),
        ("file://{}/in/a.mp4", True),
        ("{}/in/link/a.mp4", False),
        ("{}/in/../a.mp4", False),
    ],
)
def test_only_what_is_below_a_named_place_may_be_read(
    tmp_path: Path, url: str, is_allowed: bool
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    named = f"s3://media/in/ https://cdn.example {tmp_path}/in"
    reach = Reach.named(SOURCES, {SOURCES: named})
    try:
        reach.check(url.format(tmp_path))
    except BadInput:
        assert not is_allowed
    else:
        assert is_allowed


def test_a_source_among_the_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the source lies where the results go"):
        check_apart(str(tmp_path / "out" / "h264-720p.mp4"), f"file://{tmp_path}/out")
    check_apart(str(tmp_path / "out.mp4"), str(tmp_path / "out"))
