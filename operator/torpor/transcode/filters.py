"""What is done to each frame before it is encoded: size, square pixels, colours."""

from __future__ import annotations

from typing import Any

from torpor.transcode.encoders import Encoder, last_filters
from torpor.transcode.model import Video

Filter = tuple[str, dict[str, Any]]
_RGB = ("rgb", "bgr", "gbr", "argb", "abgr", "pal8", "0rgb", "0bgr")
_BT709 = {"out_color_matrix": "bt709", "out_range": "tv"}


def filters(
    video: Video, width: int, height: int, encoder: Encoder, keeps_hdr: bool
) -> tuple[Filter, ...]:
    """Return the filters for one variant, in order."""
    scale: Filter = ("scale", {"w": width, "h": height, **_colors(video)})
    if video.color.is_hdr and not keeps_hdr:
        scale = sdr_scale(width, height)
    return (scale, ("setsar", {"sar": 1}), *last_filters(encoder, ten_bits=keeps_hdr))


def sdr_scale(width: int, height: int) -> Filter:
    """Return a scaling to SDR: BT.709, light that is too bright for it brought down smoothly.

    swscale does that since ffmpeg 8 (`intent`), from the mastering metadata where there is any.
    """
    to = {"out_primaries": "bt709", "out_transfer": "bt709", "intent": "perceptual"}
    return ("scale", {"w": width, "h": height, **to, **_BT709})


def _colors(video: Video) -> dict[str, Any]:
    """RGB becomes BT.709; full range becomes limited, which is what players expect."""
    if video.pixel_format.startswith(_RGB):
        return _BT709
    return {"out_range": "tv"} if video.color.range == "pc" else {}
