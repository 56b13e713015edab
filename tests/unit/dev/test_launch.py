"""What a run is told when another `torpor dev` goes on with it, which may be reached elsewhere."""

from __future__ import annotations

import pytest

from torpor.dev.runs.record import Launch

GATEWAY, EVENTS = "http://127.0.0.1:8080", "http://127.0.0.1:8200"
SERVER = "host=%2Ftmp%2Ftorpor-pg-a"


def launch(value: str) -> Launch:
    return Launch(("true",), {"V": value}, 1, 1, 0, 60.0, 60.0, 1.0, "", (GATEWAY, EVENTS, SERVER))


@pytest.mark.parametrize(
    ("told", "now"),
    [
        (GATEWAY, EVENTS),
        (f"{GATEWAY}/function/one", f"{EVENTS}/function/one"),
        (EVENTS, ""),
        (f"postgresql://torpor@/shop?{SERVER}", "postgresql://torpor@/shop?host=%2Ftmp%2Fb"),
        ("http://127.0.0.1:80801", "http://127.0.0.1:80801"),
        ("", ""),
    ],
)
def test_addresses_are_those_of_who_goes_on_with_it(told: str, now: str) -> None:
    there = (EVENTS, "", "host=%2Ftmp%2Fb")
    moved = launch(told).at(there)
    assert (moved.environment, moved.addresses) == ({"V": now}, there)


def test_what_was_not_served_then_stands_for_nothing_now() -> None:
    before = Launch(("true",), {"V": "text"}, 1, 1, 0, 60.0, 60.0, 1.0, "", ("", ""))
    assert before.at((GATEWAY, EVENTS)).environment == {"V": "text"}
