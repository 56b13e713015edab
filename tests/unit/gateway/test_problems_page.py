"""Each code that a gateway may answer is explained on one page."""

from __future__ import annotations

from pathlib import Path

from torpor.errors import ApiUnavailable, SlotsExhausted
from torpor.gateway import refusals
from torpor.gateway.dataplane import problems
from torpor.gateway.dataplane.base import Refused
from torpor.gateway.dataplane.haproxy import answers
from torpor.platform.base import Trouble
from torpor.resources.names import FunctionKey

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "problems.md"
KEY = FunctionKey("shop", "cart")


def test_every_code_is_explained() -> None:
    told = [
        refusals.unknown(KEY),
        refusals.full(KEY, 1),
        refusals.cannot_start(KEY, Trouble("BadThing", "why", final=True)),
        refusals.api_away(KEY, ApiUnavailable(0, "", "")),
        refusals.plane_away(KEY, "why"),
        refusals.stopping(),
        *(value for value in vars(problems).values() if isinstance(value, Refused)),
    ]
    codes = {refused.code for refused in told}
    codes |= {answer.code for answer in (*answers.ERRORS, answers.UNKNOWN, answers.OVER_RESERVED)}
    codes |= {SlotsExhausted.code, "gateway-starting", "hold-timeout"}
    page = PAGE.read_text()
    assert [code for code in sorted(codes) if f"`{code}`" not in page] == []
