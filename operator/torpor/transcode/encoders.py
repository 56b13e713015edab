"""How each encoder is told the same things: quality, cap, keyframes exactly where they are planned.

Threads are pinned, because x264's and x265's output differs with their number; with more than one
and a cap, no two runs of x264, x265 or SVT-AV1 give the same bytes. Quality is constant, under the
cap: a bitrate for each unit alone would cost 3 dB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any

from torpor.transcode.model import Codec


class Speed(Enum):
    """How much work goes into a frame."""

    DRAFT = "draft"
    FAST = "fast"
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder that is there. `takes_ten_bits` decides whether HDR can stay HDR in it."""

    name: str
    codec: Codec
    takes_ten_bits: bool

    @property
    def is_hardware(self) -> bool:
        """Whether it needs a device of the node that it runs on."""
        return self.name not in CPU.values()


@dataclass(frozen=True, slots=True)
class Abilities:
    """The encoder to use for each codec that there is one for, and whether HDR can become SDR.

    `failed` are the hardware encoders that were tried in vain, each with what ffmpeg said.
    """

    encoders: tuple[Encoder, ...]
    tone_maps: bool
    failed: tuple[str, ...] = ()

    def encoder(self, codec: Codec) -> Encoder | None:
        """Return the encoder for a codec, or None."""
        return next((each for each in self.encoders if each.codec is codec), None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a variant's encoder is told."""

    speed: Speed
    crf: int
    most_bits_per_second: int
    keyframe_frames: int
    threads: int
    ten_bits: bool


CPU: Mapping[Codec, str] = {
    Codec.H264: "libx264",
    Codec.HEVC: "libx265",
    Codec.AV1: "libsvtav1",
}
HARDWARE: Mapping[Codec, tuple[str, ...]] = {
    Codec.H264: ("h264_nvenc", "h264_qsv", "h264_vaapi"),
    Codec.HEVC: ("hevc_nvenc", "hevc_qsv", "hevc_vaapi"),
    Codec.AV1: ("av1_nvenc", "av1_qsv", "av1_vaapi"),
}
CRF: Mapping[Codec, int] = {Codec.H264: 23, Codec.HEVC: 26, Codec.AV1: 34}
BITS: Mapping[Codec, Fraction] = {
    Codec.H264: Fraction(1),
    Codec.HEVC: Fraction(13, 20),
    Codec.AV1: Fraction(1, 2),
}
"""Of H.264's bits for the same picture."""
SMALLEST_SIDE: Mapping[Codec, int] = {Codec.H264: 16, Codec.HEVC: 32, Codec.AV1: 64}
VAAPI_DEVICE = "/dev/dri/renderD128"

_X264 = {Speed.DRAFT: "ultrafast", Speed.FAST: "veryfast", Speed.GOOD: "medium"}
_X265 = {Speed.DRAFT: "ultrafast", Speed.FAST: "superfast", Speed.GOOD: "medium"}
_SVT = {Speed.DRAFT: 13, Speed.FAST: 10, Speed.GOOD: 6}
_NVENC = {Speed.DRAFT: "p1", Speed.FAST: "p3", Speed.GOOD: "p5"}
_QSV = {Speed.DRAFT: "veryfast", Speed.FAST: "faster", Speed.GOOD: "medium"}
_TAGS = {Codec.HEVC: {"tag:v": "hvc1"}}


def encoder_args(encoder: Encoder, wanted: Wanted) -> dict[str, Any]:
    """Return the options of `encoder`, as ffmpeg-python takes them."""
    return {
        "c:v": encoder.name,
        **_keyframes(wanted),
        **_OWN[_family(encoder.name)](wanted),
        **_TAGS.get(encoder.codec, {}),
    }


def last_filters(encoder: Encoder, ten_bits: bool) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return what brings frames into the form that the encoder takes."""
    if _family(encoder.name) == "libx264" or not encoder.is_hardware:
        return (("format", {"pix_fmts": "yuv420p10le" if ten_bits else "yuv420p"}),)
    form: tuple[str, dict[str, Any]] = ("format", {"pix_fmts": "p010le" if ten_bits else "nv12"})
    return (form, ("hwupload", {})) if encoder.name.endswith("_vaapi") else (form,)


def device_args(encoder: Encoder) -> tuple[str, ...]:
    """Return the global options that name the device."""
    return ("-vaapi_device", VAAPI_DEVICE) if encoder.name.endswith("_vaapi") else ()


def audio_args(channels: int, rate: int) -> dict[str, Any]:
    """Return AAC for at most two channels, at a rate that players take."""
    return {
        "c:a": "aac",
        "b:a": audio_bits_per_second(channels),
        "ac": min(channels, 2),
        "ar": rate if rate in (44_100, 48_000) else 48_000,
    }


def audio_bits_per_second(channels: int) -> int:
    """Return what AAC is given."""
    return 128_000 if channels > 1 else 64_000


def _family(name: str) -> str:
    return name if name.startswith("lib") else name.rpartition("_")[2]


def _keyframes(wanted: Wanted) -> dict[str, Any]:
    """Every K frames from each unit's first on, so that all rungs and segments line up."""
    every = wanted.keyframe_frames
    return {"g": every, "force_key_frames": f"expr:gte(n,n_forced*{every})"}


def _capped(wanted: Wanted) -> dict[str, Any]:
    most = wanted.most_bits_per_second
    return {"maxrate": most, "bufsize": 2 * most}


def _x264(wanted: Wanted) -> dict[str, Any]:
    return {
        "preset": _X264[wanted.speed],
        "crf": wanted.crf,
        "sc_threshold": 0,
        "forced-idr": 1,
        "threads": wanted.threads,
        **_capped(wanted),
    }


def _x265(wanted: Wanted) -> dict[str, Any]:
    every = wanted.keyframe_frames
    grid = f"keyint={every}:min-keyint={every}:scenecut=0:open-gop=0"
    threads = f"pools={wanted.threads}:frame-threads={min(wanted.threads, 4)}"
    return {
        "preset": _X265[wanted.speed],
        "crf": wanted.crf,
        "forced-idr": 1,
        "x265-params": f"{grid}:{threads}:log-level=error",
        **_capped(wanted),
    }


def _svt(wanted: Wanted) -> dict[str, Any]:
    return {
        "preset": _SVT[wanted.speed],
        "crf": wanted.crf,
        "svtav1-params": f"lp={wanted.threads}:scd=0",
        **_capped(wanted),
    }


def _nvenc(wanted: Wanted) -> dict[str, Any]:
    return {
        "preset": _NVENC[wanted.speed],
        "rc": "vbr",
        "cq": wanted.crf,
        "b:v": 0,
        "no-scenecut": 1,
        "forced-idr": 1,
        **_capped(wanted),
    }


def _qsv(wanted: Wanted) -> dict[str, Any]:
    return {
        "preset": _QSV[wanted.speed],
        "global_quality": wanted.crf,
        "forced_idr": 1,
        **_capped(wanted),
    }


def _vaapi(wanted: Wanted) -> dict[str, Any]:
    return {"rc_mode": "QVBR", "global_quality": wanted.crf, **_capped(wanted)}


_OWN = {
    "libx264": _x264,
    "libx265": _x265,
    "libsvtav1": _svt,
    "nvenc": _nvenc,
    "qsv": _qsv,
    "vaapi": _vaapi,
}
