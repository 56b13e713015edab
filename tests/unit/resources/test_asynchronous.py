"""The settings of asynchronous calls, and the form in which a gateway hands one over."""

from __future__ import annotations

import pytest

from torpor.errors import InvalidResource
from torpor.resources.asynchronous import AsyncCall, Asynchronous, Callee
from torpor.resources.fields import Fields


def parsed(**spec: object) -> Asynchronous:
    return Asynchronous.parse(Fields(spec, "spec.async"))


def test_a_call_is_read_as_it_was_written() -> None:
    settings = parsed(
        maxAttempts=5,
        maxAgeSeconds=60,
        onSuccess={"function": {"name": "good", "path": "/told"}},
        onFailure={"queue": {"name": "Bad.fifo"}},
    )
    callee = Callee("uid", "arn:f", 30.0, 50, 100, 20, settings)
    headers = {"Content-Type": "text/plain", "X-Mine": 'a "b"'}
    call = AsyncCall("id", "request", "PUT", "/a?b=c", headers, b"one\ntwo\n", callee)
    assert AsyncCall.decode(call.encode()) == call


@pytest.mark.parametrize("text", [b"", b"no JSON\n", b"{}\nbody", b"[]\n"])
def test_what_is_no_call_is_refused(text: bytes) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        AsyncCall.decode(text)


def test_a_wrong_destination_is_named() -> None:
    with pytest.raises(InvalidResource, match=r"spec\.async\.onFailure: give exactly one of"):
        parsed(onFailure={})
