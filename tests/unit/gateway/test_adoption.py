"""A function whose home nobody agrees on is served where its requests wait."""

from __future__ import annotations

import math

from torpor.gateway.adoption import HOME_SECONDS, Adoption


def settled(adoption: Adoption, now: float, oldest: float | None, *, empty: bool = False) -> bool:
    adoption.settle(oldest, now, local=False, empty=empty)
    return bool(adoption)


def test_what_waits_for_too_long_is_served_here() -> None:
    adoption = Adoption()
    assert adoption.begins_at(10.0, local=False) == 10.0 + HOME_SECONDS
    assert not settled(adoption, 10.0 + HOME_SECONDS - 0.1, oldest=10.0)
    assert settled(adoption, 10.0 + HOME_SECONDS, oldest=10.0)
    assert adoption.begins_at(10.0, local=False) == math.inf


def test_it_is_served_here_until_nothing_of_it_is_left() -> None:
    adoption = Adoption()
    assert settled(adoption, HOME_SECONDS, oldest=0.0)
    assert settled(adoption, 5.0, oldest=4.0, empty=True)
    assert settled(adoption, 6.0, oldest=None, empty=False)
    assert not settled(adoption, 7.0, oldest=None, empty=True)


def test_nobody_waits_for_an_agreement_at_home() -> None:
    adoption = Adoption()
    assert adoption.begins_at(0.0, local=True) == math.inf
    assert settled(adoption, HOME_SECONDS, oldest=0.0)
    adoption.settle(0.0, 3.0, local=True, empty=False)
    assert not adoption
