"""Reads MP4 files as far as packaging needs: boxes, one track's description, its fragments.

ISO/IEC 14496-12. What is read was muxed by our own ffmpeg a moment before; lengths are checked all
the same, since an index out of such a file decides which bytes players get.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from torpor.errors import TorporError

_HEADER = struct.Struct(">I4s")
_LARGE = 1
_DEFAULT_DURATION = 0x08
_TFHD_BEFORE_DURATION = ((0x01, 8), (0x02, 4))
_TRUN_BEFORE_SAMPLES = ((0x01, 4), (0x04, 4))
_DURATION, _OFFSET = 0x100, 0x800
_TRUN_OF_SAMPLE = (_DURATION, 0x200, 0x400, _OFFSET)


class NotMedia(TorporError):
    """A file is not the fragmented MP4 with one track that it should be."""

    code = "not-media"


@dataclass(frozen=True, slots=True)
class Span:
    """A box of a file: where it begins, and how long it is with its header."""

    kind: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Fragment:
    """A movie fragment with its data: `moof` and `mdat`.

    From `start` to `end` it is shown, in ticks of the track's scale and before any edit list.
    """

    offset: int
    size_bytes: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Fragmented:
    """A fragmented file of one track: its header (`ftyp` and `moov`), then its fragments.

    `sample_entry` is the track's description: four characters, and its content.
    """

    header_bytes: int
    timescale: int
    entry_kind: str
    sample_entry: bytes
    fragments: tuple[Fragment, ...]


def read_fragmented(path: Path) -> Fragmented:
    """Return what a fragmented file consists of; NotMedia when it is none."""
    with path.open("rb") as file:
        spans = list(_spans(file, path))
        movie = next((span for span in spans if span.kind == "moov"), None)
        if movie is None:
            raise NotMedia(f"{path.name}: no moov box")
        moov = _content(file, movie)
        default = _default_duration(moov)
        fragments = tuple(_fragments(file, spans, default))
    if not fragments:
        raise NotMedia(f"{path.name}: no moof box")
    kind, entry = _sample_entry(moov)
    scale = _timescale(find(moov, "trak", "mdia", "mdhd"))
    return Fragmented(movie.offset + movie.size_bytes, scale, kind, entry, fragments)


def children(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield kind and content of each box in `content`; NotMedia when a length is impossible."""
    at = 0
    while at + _HEADER.size <= len(content):
        size, kind = _HEADER.unpack_from(content, at)
        if not _HEADER.size <= size <= len(content) - at:
            raise NotMedia(f"a box {kind!r} of {size} bytes in {len(content) - at}")
        yield kind.decode("latin-1"), content[at + _HEADER.size : at + size]
        at += size


def find(content: bytes, *path: str) -> bytes:
    """Return the content of the first box at a path of kinds; NotMedia when there is none."""
    for step in path:
        found = next((inner for kind, inner in children(content) if kind == step), None)
        if found is None:
            raise NotMedia(f"no box {'/'.join(path)}")
        content = found
    return content


def _spans(file: BinaryIO, path: Path) -> Iterator[Span]:
    end = path.stat().st_size
    at = 0
    while at < end:
        file.seek(at)
        size, kind = _HEADER.unpack(_exactly(file, _HEADER.size))
        if size == _LARGE:
            (size,) = struct.unpack(">Q", _exactly(file, 8))
        if not _HEADER.size <= size <= end - at:
            raise NotMedia(f"{path.name}: a box {kind!r} of {size} bytes in {end - at}")
        yield Span(kind.decode("latin-1"), at, size)
        at += size


def _exactly(file: BinaryIO, size: int) -> bytes:
    found = file.read(size)
    if len(found) < size:
        raise NotMedia("the file ends within a box")
    return found


def _content(file: BinaryIO, span: Span) -> bytes:
    file.seek(span.offset + _HEADER.size)
    return _exactly(file, span.size_bytes - _HEADER.size)


def _fragments(file: BinaryIO, spans: list[Span], default: int) -> Iterator[Fragment]:
    for span, after in pairwise(spans):
        if span.kind != "moof":
            continue
        if after.kind != "mdat":
            raise NotMedia(f"a moof box is followed by {after.kind}, not by its data")
        samples = list(_samples(find(_content(file, span), "traf"), default))
        if not samples:
            raise NotMedia("a moof box without a sample")
        start = min(sample.start for sample in samples)
        end = max(sample.end for sample in samples)
        yield Fragment(span.offset, span.size_bytes + after.size_bytes, start, end)


@dataclass(frozen=True, slots=True)
class _Sample:
    start: int
    end: int


def _samples(track: bytes, default: int) -> Iterator[_Sample]:
    """Yield when each sample is shown, in ticks before any edit list."""
    decoded_at = _decode_time(track)
    default = _header_duration(find(track, "tfhd"), default)
    for kind, run in children(track):
        if kind != "trun":
            continue
        for duration, offset in _run(run, default):
            start = decoded_at + offset
            yield _Sample(start, start + duration)
            decoded_at += duration


def _decode_time(track: bytes) -> int:
    content = find(track, "tfdt")
    layout = ">Q" if content[0] == 1 else ">I"
    return int(struct.unpack_from(layout, content, 4)[0])


def _header_duration(header: bytes, default: int) -> int:
    flags = int.from_bytes(header[1:4])
    if not flags & _DEFAULT_DURATION:
        return default
    at = 8 + sum(size for flag, size in _TFHD_BEFORE_DURATION if flags & flag)
    return int.from_bytes(header[at : at + 4])


def _run(run: bytes, default: int) -> Iterator[tuple[int, int]]:
    """Yield duration and composition offset of each sample of a trun box (8.8.8)."""
    flags, count = int.from_bytes(run[1:4]), int.from_bytes(run[4:8])
    first = 8 + sum(size for flag, size in _TRUN_BEFORE_SAMPLES if flags & flag)
    fields = [flag for flag in _TRUN_OF_SAMPLE if flags & flag]
    step = 4 * len(fields)
    if first + count * step > len(run):
        raise NotMedia("a trun box is shorter than its samples")
    for at in range(first, first + count * step, step) if step else [first] * count:
        values = dict(zip(fields, struct.unpack_from(f">{len(fields)}I", run, at), strict=True))
        offset = values.get(_OFFSET, 0)
        yield values.get(_DURATION, default), offset - (offset >> 31 << 32 if run[0] else 0)


def _default_duration(moov: bytes) -> int:
    return int.from_bytes(find(moov, "mvex", "trex")[12:16])


def _timescale(header: bytes) -> int:
    at = 20 if header[0] == 1 else 12
    return int.from_bytes(header[at : at + 4])


def _sample_entry(moov: bytes) -> tuple[str, bytes]:
    described = find(moov, "trak", "mdia", "minf", "stbl", "stsd")
    entry = next(children(described[8:]), None)
    if entry is None:
        raise NotMedia("the track has no sample entry")
    return entry
