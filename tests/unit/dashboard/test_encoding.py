"""What users' programs may tell, and the page has to take."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from torpor.dashboard.encoding import encoded
from torpor.functions.runs.words import result_of

DEEP: Any = json.loads("[" * 300 + "]" * 300)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"n": 2**64 - 1, "m": -(2**63)}, {"n": 2**64 - 1, "m": -(2**63)}),
        (
            {"n": 10**30, "rest": [1, True, None, 0.5]},
            {"n": str(10**30), "rest": [1, True, None, 0.5]},
        ),
        ({"half \ud800": ("a pair \ud83d", "😀")}, {"half ?": ["a pair ?", "😀"]}),
        ({"n": float("nan")}, {"n": None}),
    ],
)
def test_whatever_was_told_is_json(told: Any, shown: Any) -> None:
    assert orjson.loads(encoded(told)) == shown


def test_what_is_too_deep_ends_in_dots_and_the_rest_is_whole() -> None:
    found = orjson.loads(encoded({"deep": DEEP, "beside": 1}))
    assert found["beside"] == 1
    assert orjson.dumps(found).count(b"\xe2\x80\xa6") == 1


def test_what_a_run_may_leave_is_shown_in_a_snapshot() -> None:
    result = result_of("[" * 254 + "]" * 254)
    assert isinstance(result, list), "as deep as what is told may be"
    [run] = orjson.loads(encoded({"runs": [{"id": "one", "result": result}]}))["runs"]
    assert (run["id"], type(run["result"])) == ("one", list)


def test_what_is_no_json_is_a_defect() -> None:
    with pytest.raises(TypeError):
        encoded({"a": object()})
