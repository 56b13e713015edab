"""A Trigger as its user wrote it, or a refusal that names the field."""

from __future__ import annotations

from typing import Any

import pytest

from torpor.errors import InvalidResource
from torpor.resources.http_route import Claims, claim_of
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Trigger, check_change

FUNCTION: dict[str, Any] = {"function": {"name": "f"}}


def obj(name: str = "t", **spec: Any) -> dict[str, Any]:
    spec = {"source": {"bus": {"name": "orders"}}, "target": FUNCTION, **spec}
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def http(**fields: Any) -> dict[str, Any]:
    return {"source": {"http": fields}}


@pytest.mark.parametrize(
    ("spec", "path", "problem"),
    [
        ({"source": {}}, "spec.source", "give exactly one of"),
        ({"target": {}}, "spec.target", "give exactly one of"),
        ({"filter": {"pattern": {}, "cesql": "1"}}, "spec.filter", "give pattern or cesql"),
        ({"transform": {"jsonata": "1", "input": {}}}, "spec.transform", "jsonata or input"),
        (http(path="/function/x"), "spec.source.http.path", "the gateway's own"),
        (http(path="/a b"), "spec.source.http.path", "must match"),
        (http(path="/a/../b"), "spec.source.http.path", "must not have . or .."),
        (http(host="A_b"), "spec.source.http.host", "must match"),
        (http(pathType="exact"), "spec.source.http.pathType", "must be one of Prefix, Exact"),
        (
            {**http(), "target": {"queue": {"name": "q"}}},
            "spec.source.http.async",
            "nothing to answer with",
        ),
        (
            {**http(), "target": {"function": {"name": "f", "path": "/a?b"}}},
            "spec.target.function.path",
            "bring their own query",
        ),
        ({**http(), "dedupe": {"key": "id"}}, "spec.dedupe", "are for events"),
        (
            {"delivery": {"backoff": {"initialSeconds": 400}}},
            "spec.delivery.backoff",
            "must not be more than maxSeconds",
        ),
    ],
)
def test_a_wrong_field_is_named(spec: dict[str, Any], path: str, problem: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        Trigger.parse(obj(**spec))
    assert refused.value.path == path
    assert problem in str(refused.value)


def test_events_of_an_http_source_may_be_filtered_where_nobody_waits() -> None:
    found = Trigger.parse(obj(**http(**{"async": True}), filter={"pattern": {"type": ["a"]}}))
    assert found.filter.pattern == {"type": ["a"]}
    assert Trigger.parse(obj(**http(), filter={})).filter.pattern is None


def test_a_source_stays_what_it_is() -> None:
    orders = Trigger.parse(obj()).source
    check_change(orders, Trigger.parse(obj(filter={"cesql": "true"})).source)
    often, seldom = (
        Trigger.parse(obj(source={"schedule": {"every": every}})).source for every in ("1m", "1h")
    )
    check_change(often, seldom)
    others = Trigger.parse(obj(source={"bus": {"name": "others"}})).source
    for other in (often, others):
        with pytest.raises(InvalidResource, match="cannot be changed"):
            check_change(orders, other)


def test_whom_a_claim_concerns() -> None:
    """A Trigger that lets an address go concerns those who wanted it too."""
    claims = Claims([])
    first, second, none = (
        claim_of(obj(name, **spec))
        for name, spec in (("a", http(path="/x")), ("b", http(path="/x")), ("c", {}))
    )
    assert first is not None
    assert second is not None
    assert none is None
    assert claims.put(first.trigger, first) == set()
    assert claims.put(second.trigger, second) == {first.trigger}
    assert claims.put(first.trigger, None) == {second.trigger}
    assert claims.put(second.trigger, None) == set()
    assert claims.put(FunctionKey("shop", "c"), None) == set()
