"""What a run's status keeps of a result: it fits, and the rest is where it says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from torpor.transcode.result import summary

MOST_BYTES = 4096


def result(variants: int, refused: int = 0, name: str = "h264-1080p") -> dict[str, Any]:
    made = [
        {
            "name": f"{name}-{number}",
            "frames": 216_000,
            "sizeBytes": 1 << 33,
            "seconds": 12345.678,
            "redoneSeconds": 1234.567,
            "cost": number / 7,
            "sha256": "0" * 64,
        }
        for number in range(variants)
    ]
    part = {"seconds": 12345.678, "cost": 1.234567}
    names = ("useful", "redone", "startup", "idle", "finishing", "total")
    return {
        "variants": made,
        "refused": [f"av1-{number}p: no encoder of it works here" for number in range(refused)],
        "cost": dict.fromkeys(names, part),
        "outputs": [{"path": f"{number:05d}.m4s"} for number in range(10_000)],
    }


@pytest.mark.parametrize(
    ("made", "variants", "keeps_refused"),
    [
        (result(12, refused=3), 12, True),
        (result(18, refused=100), 18, False),
        (result(12, name="\N{SNOWMAN}" * 300), 3, False),
    ],
)
def test_the_status_keeps_what_fits_and_the_costs(
    made: dict[str, Any], variants: int, keeps_refused: bool
) -> None:
    brief = summary(made, "s3://bucket/out/done.json", MOST_BYTES)
    assert len(json.dumps(brief, ensure_ascii=False).encode()) <= MOST_BYTES
    assert (brief["done"], brief["cost"]) == ("s3://bucket/out/done.json", made["cost"])
    costs = [each["cost"] for each in brief["variants"]]
    assert costs == sorted((each["cost"] for each in made["variants"]), reverse=True)[:variants]
    assert brief.get("more", 0) == len(made["variants"]) - variants
    assert ("refused" in brief) == keeps_refused


def test_an_address_that_leaves_no_room_is_all_that_is_kept() -> None:
    url = "s3://bucket/" + "x" * 3900
    assert summary(result(3), url, MOST_BYTES) == {"done": url}
