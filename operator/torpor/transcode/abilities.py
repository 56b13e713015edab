"""What the ffmpeg at hand can do on this node, found by letting it: a list of encoders says little.

ffmpeg lists NVENC, QSV and VAAPI wherever it was built with them; a GPU need not have an encoder
(A100, H100). So each hardware encoder is asked to encode 0.2 s.
"""

from __future__ import annotations

from collections.abc import Sequence

import ffmpeg

from torpor.transcode.command import compiled
from torpor.transcode.encoders import (
    CPU,
    HARDWARE,
    Abilities,
    Encoder,
    Speed,
    Wanted,
    device_args,
    encoder_args,
    last_filters,
)
from torpor.transcode.model import Codec
from torpor.transcode.process import Advance, Died, Stalled, run
from torpor.transcode.request import Devices
from torpor.transcode.running import run_ffmpeg
from torpor.transcode.tools import Tools

_STALL_SECONDS = 30.0
_PICTURE = "testsrc2=size=320x240:rate=25:duration=0.2"
_TEN_BITS = ("yuv420p10le", "p010le")
_TRIAL = Wanted(
    speed=Speed.DRAFT,
    crf=30,
    most_bits_per_second=1_000_000,
    keyframe_frames=50,
    threads=1,
    ten_bits=False,
)


async def find_abilities(tools: Tools, devices: Devices) -> Abilities:
    """Return what works here; each codec has the first hardware encoder that does, else the CPU's.

    Raises Stalled if ffmpeg does not answer; a device that hangs counts as one that does not work.
    """
    listed = await _listed(tools)
    found: list[Encoder] = []
    failed: list[str] = []
    for codec in Codec:
        names = HARDWARE[codec] if devices is Devices.AUTO else ()
        for name in (name for name in (*names, CPU[codec]) if name in listed):
            encoder = Encoder(name, codec, await _takes_ten_bits(tools, name))
            said = await _tried(tools, encoder) if encoder.is_hardware else ""
            if not said:
                found.append(encoder)
                break
            failed.append(f"{name}: {said}")
    return Abilities(tuple(found), await _tone_maps(tools), tuple(failed))


async def works(tools: Tools, name: str, codec: Codec) -> bool:
    """Return whether the encoder that a plan names encodes on this node."""
    if name in CPU.values():
        return name in await _listed(tools)
    return not await _tried(tools, Encoder(name, codec, takes_ten_bits=False))


async def _listed(tools: Tools) -> set[str]:
    rows = [line.split() for line in await _asked(tools, ("-encoders",))]
    return {row[1] for row in rows if len(row) > 1 and row[0].startswith("V")}


async def _takes_ten_bits(tools: Tools, name: str) -> bool:
    rows = await _asked(tools, ("-h", f"encoder={name}"))
    formats = [row for row in rows if row.startswith("Supported pixel formats")]
    return any(form in row for row in formats for form in _TEN_BITS)


async def _asked(tools: Tools, words: Sequence[str]) -> list[str]:
    lines: list[str] = []
    await run([tools.ffmpeg, "-hide_banner", *words], lines.append, Advance(), _STALL_SECONDS)
    return lines


async def _tried(tools: Tools, encoder: Encoder) -> str:
    """What an encoder says for not encoding; empty if it does."""
    stream = ffmpeg.input(_PICTURE, f="lavfi")
    for name, options in last_filters(encoder, ten_bits=False):
        stream = stream.filter(name, **options)
    output = ffmpeg.output(stream, "-", format="null", **encoder_args(encoder, _TRIAL))
    return await _said(tools, output.global_args(*device_args(encoder)))


async def _tone_maps(tools: Tools) -> bool:
    """Whether its swscale brings light down smoothly: ffmpeg 8 and newer."""
    rows = await _asked(tools, ("-h", "filter=scale"))
    return any(row.startswith(("-intent ", "intent ")) for row in rows)


async def _said(tools: Tools, output: object) -> str:
    argv = [tools.ffmpeg, *compiled(output)[1:]]
    try:
        ended = await run_ffmpeg(argv, stall_seconds=_STALL_SECONDS)
    except (Stalled, Died) as error:
        return str(error)
    return "" if ended.code == 0 else ended.reason
