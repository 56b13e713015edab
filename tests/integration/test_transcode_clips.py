"""Videos that other people's cameras and encoders made, out of the packages that carry them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clips import (
    BIG_BUCK_BUNNY,
    CARPHONE,
    MISNAMED,
    PHONE,
    SNOW,
    TINY,
    Clip,
    packaged,
)
from tests.support.transcoding import farthest_seconds, request, seen, transcoded


@pytest.mark.parametrize(
    ("clip", "frames", "size"),
    [
        (BIG_BUCK_BUNNY, 132, (426, 240)),
        (SNOW, 61, (240, 320)),
        (PHONE, 41, (426, 240)),
        (CARPHONE, 120, (192, 144)),
        (TINY, 15, (50, 50)),
        (MISNAMED, 150, (426, 240)),
    ],
    ids=[
        "natural, six channels",
        "one keyframe, late start",
        "varying rate",
        "pixels that are not square",
        "tiny, MPEG-4 Part 2",
        "Theora, misnamed",
    ],
)
async def test_every_frame_of_a_real_video_is_there_at_its_time(
    clip: Clip, frames: int, size: tuple[int, int], tmp_path: Path
) -> None:
    source = packaged(clip)
    label = f"h264-{min(size)}p"
    result = await transcoded(request(source, tmp_path, variants=(label,)))
    variant = result["variants"][0]
    made = seen(tmp_path / variant["path"])
    assert (made.frames, made.size) == (frames, size)
    assert farthest_seconds(made, seen(source)) <= 0.001
    assert variant["lowestSsim"] > 0.8
    assert made.audio_seconds is None or made.audio_seconds == pytest.approx(
        float(made.times[-1]), abs=0.2
    )
