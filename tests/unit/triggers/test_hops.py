"""The traceparent of a hop."""

from __future__ import annotations

import re

import pytest

from torpor.triggers.hops import hop_of

ORIGIN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")


def traceparent(given: str | None, message_id: str, name: str) -> str:
    return hop_of(given, message_id, name).traceparent


def test_a_trace_is_gone_on_with_under_a_new_span() -> None:
    hop = traceparent(ORIGIN, "m", "function shop/a 1")
    assert FORM.fullmatch(hop)
    assert hop.startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert hop.endswith("-00")
    assert hop != ORIGIN


@pytest.mark.parametrize("given", [None, "", "nonsense", "00-" + "0" * 32 + "-" + "1" * 16 + "-01"])
def test_without_one_all_hops_of_a_message_share_a_trace(given: str | None) -> None:
    first, second = traceparent(given, "m", "try 1"), traceparent(given, "m", "try 2")
    assert FORM.fullmatch(first)
    assert first.split("-")[1] == second.split("-")[1]
    assert first.split("-")[2] != second.split("-")[2]
    assert first == traceparent(given, "m", "try 1")
    assert first.split("-")[1] != traceparent(given, "n", "try 1").split("-")[1]
