"""HLS and DASH, looked at by others: Shaka Packager on the same rungs, ffprobe and PyAV."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import av
import pytest

from tests.unit.transcode.rungs import FRAMES, KEYFRAME_FRAMES, RATE, Clip, clip, plan, variant
from torpor.transcode import dash, hls
from torpor.transcode.model import Codec
from torpor.transcode.package import Package, Text
from torpor.transcode.packaging import keyframes_a_segment, package
from torpor.transcode.request import Packaging
from torpor.transcode.segments import Rendition, Segment

MPD = "{urn:mpeg:dash:schema:mpd:2011}"
VARIANTS = (variant(), variant(width=96, height=54), variant(Codec.HEVC), variant(Codec.AV1))
_ATTRIBUTE = re.compile(r'([A-Z-]+)=("[^"]*"|[^",]+)')


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return clip(tmp_path_factory.mktemp("clip"), VARIANTS)


@pytest.fixture(scope="module")
def rungs(made: Clip) -> Mapping[str, Path]:
    return {each.name: made.rung(each.name) for each in VARIANTS}


@pytest.fixture(scope="module")
def packaged(made: Clip, rungs: Mapping[str, Path]) -> tuple[Path, Package]:
    folder = made.folder / "out"
    program = made.tools.ffmpeg
    forms = (Packaging.HLS, Packaging.DASH)
    found = package(program, made.plan, rungs, made.audio, made.source, folder, forms)
    return folder, asyncio.run(found)


def streams(master: str) -> dict[str, dict[str, str]]:
    """Return the attributes of each stream of a master playlist, by its size and codec."""
    found = {}
    for line in master.splitlines():
        if line.startswith("#EXT-X-STREAM-INF:"):
            pairs = {name: value.strip('"') for name, value in _ATTRIBUTE.findall(line)}
            found[f"{pairs['RESOLUTION']} {pairs['CODECS']}"] = pairs
    return found


def by_shaka(made: Clip, rungs: Mapping[str, Path], target: Path) -> str:
    """Package the same rungs with Shaka Packager, and return its master playlist."""
    if made.tools.packager is None:
        pytest.skip("Shaka Packager is not installed")
    target.mkdir()
    streams = [f"in={path},stream=video,output={path.stem}.mp4" for path in rungs.values()]
    streams.append(f"in={made.audio},stream=audio,output=audio.mp4")
    told = [made.tools.packager, *streams, "--segment_duration", "4"]
    told += ["--hls_master_playlist_output", "master.m3u8"]
    subprocess.run(told, cwd=target, check=True, capture_output=True, timeout=60)
    return (target / "master.m3u8").read_text()


def test_the_master_says_what_shaka_packager_finds(
    made: Clip, rungs: Mapping[str, Path], packaged: tuple[Path, Package], tmp_path: Path
) -> None:
    ours = streams((packaged[0] / "master.m3u8").read_text())
    theirs = streams(by_shaka(made, rungs, tmp_path / "shaka"))
    assert ours.keys() == theirs.keys()
    assert len(ours) == len(VARIANTS)
    for name, attributes in theirs.items():
        assert ours[name]["FRAME-RATE"] == attributes["FRAME-RATE"]
        for rate in ("BANDWIDTH", "AVERAGE-BANDWIDTH"):
            assert int(ours[name][rate]) == pytest.approx(int(attributes[rate]), rel=0.06)


@pytest.mark.parametrize("name", [each.name for each in VARIANTS])
def test_ffprobe_reads_every_frame_of_a_playlist(
    made: Clip, packaged: tuple[Path, Package], name: str
) -> None:
    playlist = packaged[0] / name / "index.m3u8"
    shown = ("-show_entries", "packet=pts_time", "-of", "csv=p=0", "-allowed_extensions", "ALL")
    told = [made.tools.ffprobe, "-v", "error", *shown, str(playlist)]
    done = subprocess.run(told, check=True, capture_output=True, text=True, timeout=60)
    times = sorted(float(line.strip(",")) for line in done.stdout.split())
    assert times == pytest.approx([n / RATE for n in range(FRAMES)], abs=1e-5)


def test_segments_begin_together_at_keyframes(packaged: tuple[Path, Package]) -> None:
    cuts = [
        [video.rendition.seconds(segment) for segment in video.rendition.segments]
        for video in packaged[1].videos
    ]
    assert cuts == [[Fraction(FRAMES, RATE)]] * len(VARIANTS)
    assert keyframes_a_segment(plan(VARIANTS)) == 6 * RATE // KEYFRAME_FRAMES


def test_the_dash_manifest_leads_to_every_frame(packaged: tuple[Path, Package]) -> None:
    folder, _ = packaged
    root = ElementTree.fromstring((folder / "manifest.mpd").read_text())
    assert root.get("mediaPresentationDuration") == "PT4S"
    found = {}
    for shown in root.iter(f"{MPD}Representation"):
        template = shown.find(f"{MPD}SegmentTemplate")
        assert template is not None
        name = str(shown.get("id"))
        found[name] = frames_of(folder, name, template)
    assert found.pop("audio") == pytest.approx(4 * 48_000 / 1024, abs=3)
    assert found == {each.name: FRAMES for each in VARIANTS}


def frames_of(folder: Path, name: str, template: ElementTree.Element) -> int:
    """Decode init and media segments as a player would address them, by PyAV."""

    def address(what: str, number: int) -> Path:
        text = str(template.get(what)).replace("$RepresentationID$", name)
        return folder / text.replace("$Number%05d$", f"{number:05d}")

    first = int(str(template.get("startNumber")))
    count = sum(1 + int(each.get("r", "0")) for each in template.iter(f"{MPD}S"))
    pieces = [address("media", first + number) for number in range(count)]
    whole = folder / f"{name}.whole.mp4"
    files = [address("initialization", 0), *pieces]
    whole.write_bytes(b"".join(path.read_bytes() for path in files))
    with av.open(whole) as container:
        return sum(1 for _ in container.decode(container.streams[0]))


def test_rungs_of_one_codec_are_one_adaptation_set(packaged: tuple[Path, Package]) -> None:
    root = ElementTree.fromstring((packaged[0] / "manifest.mpd").read_text())
    sets = [
        sorted(str(shown.get("id")) for shown in group.iter(f"{MPD}Representation"))
        for group in root.iter(f"{MPD}AdaptationSet")
    ]
    assert sorted(sets) == [["audio"], ["av1-108p"], ["h264-108p", "h264-54p"], ["hevc-108p"]]


def test_audio_and_video_begin_together(packaged: tuple[Path, Package]) -> None:
    with av.open(packaged[0] / "master.m3u8") as container:
        begins = {}
        for packet in container.demux():
            if packet.pts is not None and packet.stream.type not in begins:
                begins[packet.stream.type] = float(packet.pts * packet.time_base)
    assert begins["video"] == 0
    assert abs(begins["audio"]) < 0.022  # the encoder's delay, which an edit list cuts off


def test_a_peak_is_of_at_least_half_a_target() -> None:
    """RFC 8216, 4.1: a short last segment of many bits is no peak."""
    sizes = [(6_000_000, 6), (3_000_000, 6), (1_000_000, 1)]
    segments = tuple(Segment(f"{n}", size, 10 * s) for n, (size, s) in enumerate(sizes))
    rendition = Rendition("video", "avc1", 10, segments)
    assert rendition.peak_bits_per_second == 8_000_000
    assert rendition.average_bits_per_second == -(-8 * 10_000_000 // 13)


def test_subtitles_stay_whole_beside_the_segments(packaged: tuple[Path, Package]) -> None:
    texts = (Text("2-en.vtt", "en"), Text("3-en.vtt", "en"))
    told = replace(packaged[1], texts=texts)
    assert 'NAME="en 2",LANGUAGE="en"' in hls.master(told)
    assert 'URI="subtitles/3-en.vtt.m3u8"' in hls.master(told)
    assert "#EXTINF:4.000000,\n2-en.vtt\n#EXT-X-ENDLIST" in hls.text_playlist(texts[0], 4.0)
    assert "<BaseURL>subtitles/2-en.vtt</BaseURL>" in dash.manifest(told)
