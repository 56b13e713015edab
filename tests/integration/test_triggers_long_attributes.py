"""Events whose attributes do not all fit into a request's header, and their functions."""

from __future__ import annotations

import pytest

from tests.integration.delivery_rig import called, definition, delivering, put
from tests.integration.trigger_rig import event
from tests.support.servers.function import functions
from tests.support.servers.nats import broker, needs_nats
from torpor.triggers.event import STRUCTURED_CONTENT_TYPE

pytestmark = needs_nats
IDENTITY = {"ce-specversion", "ce-id", "ce-source", "ce-type"}


@pytest.mark.parametrize("extensions", [{"note": "x" * 9000}, {f"n{n}": n for n in range(70)}])
async def test_what_an_event_must_have_comes_as_headers_all_the_same(
    extensions: dict[str, str | int],
) -> None:
    one = definition()
    sent = event(7, extensions=extensions)
    async with broker() as at, functions() as to, delivering(at, to, one):
        await put(at, one, [sent])
        await called(to, 1)
        (call,) = to.calls
    assert call.headers["Content-Type"] == STRUCTURED_CONTENT_TYPE
    assert {name.lower() for name in call.headers if name.lower().startswith("ce-")} == IDENTITY
    assert (call.headers["ce-id"], call.headers["ce-type"]) == (sent.id, sent.type)
    assert call.events[0].attributes["n1" if "n1" in extensions else "note"] == (
        extensions.get("n1") or extensions["note"]
    )


async def test_a_transformed_value_comes_with_them_too() -> None:
    one = definition(transform={"jsonata": "data"})
    async with broker() as at, functions() as to, delivering(at, to, one):
        await put(at, one, [event(7, {"a": 1}, extensions={"note": "x" * 9000})])
        await called(to, 1)
        (call,) = to.calls
    assert (call.headers["ce-id"], call.body) == ("7", b'{"a":1}')
    assert "ce-note" not in call.headers


async def test_an_id_that_does_not_fit_is_in_the_event_alone() -> None:
    one = definition()
    sent = event(7).with_attributes({"id": "x" * 9000})
    async with broker() as at, functions() as to, delivering(at, to, one):
        await put(at, one, [sent])
        await called(to, 1)
        (call,) = to.calls
    assert "ce-id" not in call.headers
    assert call.ids == [sent.id]
