"""A run's input: every field is read or refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from torpor.checkpoint import BadInput
from torpor.transcode.encoders import Speed
from torpor.transcode.model import Mode
from torpor.transcode.request import Devices, Packaging, Request


def test_every_field_is_read() -> None:
    document = {
        "source": "s3://bucket/film.mp4",
        "to": "s3://bucket/out",
        "variants": ["h264-720p", "hevc", "480p"],
        "mode": "stream",
        "unitSeconds": 4,
        "threads": 2,
        "speed": "good",
        "devices": "cpu",
        "package": ["hls", "dash"],
    }
    assert Request.parse(document) == Request(
        source="s3://bucket/film.mp4",
        to="s3://bucket/out",
        variants=("h264-720p", "hevc", "480p"),
        mode=Mode.STREAM,
        unit_seconds=4.0,
        threads=2,
        speed=Speed.GOOD,
        devices=Devices.CPU,
        package=(Packaging.HLS, Packaging.DASH),
    )


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (None, "must be an object with a source"),
        ([], "must be an object with a source"),
        ({"source": ""}, "must be an object with a source"),
        ({"source": 7}, "source is 7: it must be text"),
        ({"source": "a\0b"}, "it must be text"),
        ({"source": "a", "sorce": 1}, "no field 'sorce': there are source, to"),
        ({"source": "a", "mode": "both"}, "mode is 'both'"),
        ({"source": "a", "variants": "h264"}, "it must be a list"),
        ({"source": "a", "variants": ["-y /etc/passwd"]}, "name one such as h264-720p"),
        ({"source": "a", "unitSeconds": -1}, "0 to 600 s"),
        ({"source": "a", "unitSeconds": float("nan")}, "0 to 600 s"),
        ({"source": "a", "threads": True}, "0 to 64"),
        ({"source": "a", "package": ["vhs"]}, "package is"),
    ],
)
def test_what_is_wrong_is_named(document: Any, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        Request.parse(document)
