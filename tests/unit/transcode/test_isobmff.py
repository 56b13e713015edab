"""MP4 boxes: what is read of them is right, and what is no such file is told."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.support.clips import drawn, ffmpeg
from torpor.transcode.codec_strings import codec_string
from torpor.transcode.isobmff import NotMedia, children, find, read_fragmented

_FRAGMENTED = ("-movflags", "+frag_keyframe+delay_moov+default_base_moof")


def box(kind: str, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind.encode()) + content


def test_fragments_are_from_keyframe_to_keyframe(tmp_path: Path) -> None:
    path = drawn(tmp_path / "a.mp4", "-bf", "2", "-g", "30", *_FRAGMENTED, seconds=3)
    found = read_fragmented(path)
    spans = [
        (part.start - found.fragments[0].start, part.end - part.start) for part in found.fragments
    ]
    assert spans == [(n * found.timescale, found.timescale) for n in range(3)]
    assert found.header_bytes == found.fragments[0].offset
    assert found.entry_kind == "avc1"


def test_times_that_vary_are_added_up(tmp_path: Path) -> None:
    whole = drawn(tmp_path / "whole.mp4", "-g", "30", seconds=2)
    slower = "setpts='if(lt(N,30),N/30,1+(N-30)/10)/TB'"
    shown = ("-vf", slower, "-fps_mode", "passthrough", "-video_track_timescale", "600")
    ffmpeg("-i", whole, *shown, "-g", "30", *_FRAGMENTED, tmp_path / "a.mp4")
    found = read_fragmented(tmp_path / "a.mp4")
    first, second = found.fragments
    assert first.end - first.start == 600
    assert second.end - second.start >= 29 * 60


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no moov box"),
        (b"RIFF", "ends within a box"),
        (box("ftyp") + struct.pack(">I4s", 4, b"moov"), "a box b'moov' of 4 bytes"),
        (box("ftyp") + struct.pack(">I4s", 99, b"moov"), "a box b'moov' of 99 bytes in 8"),
        (box("moov", box("mvex")), "no box mvex/trex"),
    ],
)
def test_what_is_no_such_file_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(NotMedia, match=said):
        read_fragmented(path)


def test_a_file_without_fragments_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotMedia, match="no box mvex/trex"):
        read_fragmented(drawn(tmp_path / "a.mp4", seconds=1))


def test_a_box_never_reaches_beyond_what_it_is_in() -> None:
    inside = struct.pack(">I4s", 100, b"avcC")
    with pytest.raises(NotMedia, match="100 bytes in 8"):
        list(children(inside))
    assert find(box("a   ", box("b   ", b"x")), "a   ", "b   ") == b"x"


def test_codecs_that_are_not_packaged_are_told() -> None:
    with pytest.raises(NotMedia, match="kind 'mp4v'"):
        codec_string("mp4v", b"")


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ("01022000000090000000000099" + "00" * 10, "hvc1.2.4.L153.90"),
        ("012160000000b000000000007b" + "00" * 10, "hvc1.1.6.H123.b0"),
        ("0161600000000000000000005d" + "00" * 10, "hvc1.A1.6.H93"),
    ],
)
def test_hevc_is_written_as_annex_e_says(record: str, text: str) -> None:
    """ISO/IEC 14496-15, E.3: compatibility bits in reverse, constraints without trailing zeros."""
    entry = bytes(78) + box("hvcC", bytes.fromhex(record))
    assert codec_string("hvc1", entry) == text


@pytest.mark.parametrize(
    ("record", "text"), [("81042c00", "av01.0.04M.08"), ("810dce00", "av01.0.13H.10")]
)
def test_av1_is_written_as_its_binding_says(record: str, text: str) -> None:
    """AV1 Codec ISO Media File Format Binding, section 5, without the optional fields."""
    entry = bytes(78) + box("av1C", bytes.fromhex(record))
    assert codec_string("av01", entry) == text
