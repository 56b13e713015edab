"""Stored documents of another shape are refused with the place, not guessed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.transcode.sources import CPU, SETTINGS, source, timeline
from torpor.transcode.document import UnreadableDocument
from torpor.transcode.model import Plan
from torpor.transcode.planning import plan


def document() -> dict[str, Any]:
    return plan(source(), timeline(900), SETTINGS, CPU).to_json()


def test_names_are_camel_case_and_fractions_are_exact() -> None:
    made = document()
    assert made["source"]["video"]["frameRate"] == "30/1"
    assert made["units"][1]["seekSeconds"] == "10/1"


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("threads",), "many", "Plan.threads is 'many': not of type int"),
        (("threads",), True, "Plan.threads is True"),
        (("mode",), "both", "Plan.mode is 'both': no Mode"),
        (("source", "video", "frameRate"), "30/0", "Plan.source.video.frameRate is '30/0'"),
        (("source", "audio"), [], "Plan.source.audio"),
    ],
)
def test_another_shape_is_refused(path: tuple[str, ...], value: object, reason: str) -> None:
    made = document()
    place = made
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(UnreadableDocument, match=reason):
        Plan.from_json(made)


def test_a_field_that_is_missing_is_named() -> None:
    made = document()
    del made["keyframeFrames"]
    with pytest.raises(UnreadableDocument, match="Plan has no keyframeFrames: it is of another"):
        Plan.from_json(made)
