"""The examples of the sources are understood, and their filters pass what their READMEs say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.source_rig import world
from torpor.dev.folder import load_folder
from torpor.triggers.event import make_event
from torpor.triggers.filter.compiled import compile_filter
from torpor.triggers.sources.catalog import SOURCES

EXAMPLES = Path(__file__).parents[4] / "examples" / "triggers"
ORDER = {"new": {"id": 1, "status": "paid"}, "old": {"id": 1, "status": "open"}}


@pytest.mark.parametrize(
    ("source", "passes", "stays"),
    [
        ("schedule", {}, None),
        ("storage", {"subject": "incoming/a.jpg"}, {"subject": "incoming/a.txt"}),
        ("postgres", {"data": ORDER}, {"data": {**ORDER, "old": ORDER["new"]}}),
        ("mqtt", {"data": {"celsius": 81}}, {"data": {"celsius": 80}}),
        ("kafka", {"data": {"amount": 1}}, {"data": {"amount": 0}}),
        ("rabbitmq", {"data": {"id": 7}}, {"data": {}}),
        ("redis", {"data": {"page": "/cart"}}, {"data": {}}),
        (
            "kubernetes",
            {"data": {"status": {"phase": "Failed"}}},
            {"data": {"status": {"phase": "Running"}}},
        ),
    ],
)
def test_an_example_is_understood(
    source: str, passes: dict[str, Any], stays: dict[str, Any] | None
) -> None:
    folder = load_folder(EXAMPLES / source)
    triggers = [local.trigger for local in folder.triggers.values()]
    assert {str(each.source.kind) for each in triggers} == {source}
    for each in triggers:
        SOURCES[each.source.kind](each, world(api=object(), objects_url="file:///objects"))
        chosen = compile_filter(each.filter)
        assert chosen.matches(make_event(id="1", source="/s", type="t", **passes))
        if stays is not None:
            assert not chosen.matches(make_event(id="1", source="/s", type="t", **stays))
