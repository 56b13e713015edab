"""Which requests nobody waits for, and where their results are."""

from __future__ import annotations

import pytest

from torpor.gateway.http_table import Destination, HttpTable
from torpor.gateway.routes import Routes, prefers_async


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([], False),
        (["respond-async"], True),
        (["Respond-Async; foo=bar"], True),
        (["wait=10, respond-async"], True),
        (["return=minimal", "respond-async"], True),
        (["respond-asynchronously"], False),
        (['note="respond-async"'], False),
    ],
)
def test_a_preference_is_read_as_rfc_7240_writes_it(values: list[str], wanted: bool) -> None:
    assert prefers_async(values) is wanted


@pytest.mark.parametrize("events", [True, False])
def test_results_are_at_every_host_where_there_is_an_events_role(events: bool) -> None:
    routes = Routes.of((), "localhost", "cluster.local", HttpTable.of((), events=events))
    found = routes.find_trigger("GET", "any.host", "/function/@calls/shop/7f")
    expected = Destination(None, None, "/v1/namespaces/shop/calls/7f") if events else None
    assert found == expected
    assert routes.find_trigger("GET", "any.host", "/function/@calls/shop/7f/more") is None
