"""Which Trigger a request is for, and which of two Triggers gets an address."""

from __future__ import annotations

from typing import Any

import pytest

from torpor.gateway.http_table import CALLS, Destination, HttpTable, NotAllowed
from torpor.resources.http_route import Claim, Claims, claim_of
from torpor.resources.names import FunctionKey

CALL_PATH = "/v1/namespaces/shop/calls/7"


def claim(
    name: str, *, minute: int = 0, target: Any = None, suspend: bool = False, **http: Any
) -> Claim:
    found = claim_of(
        {
            "metadata": {
                "namespace": "shop",
                "name": name,
                "creationTimestamp": f"2026-01-01T00:{minute:02}:00Z",
            },
            "spec": {
                "source": {"http": http},
                "target": target or {"function": {"name": name}},
            },
        }
    )
    assert found is not None
    return found


def table(*claims: Claim, events: bool = True) -> HttpTable:
    return HttpTable.of(Claims(claims).routes(), events=events)


def name_of(found: Destination | NotAllowed | None) -> str | None:
    return found.function.name if isinstance(found, Destination) and found.function else None


@pytest.mark.parametrize(
    ("method", "host", "path", "name"),
    [
        ("GET", "a.example", "/orders", "orders"),
        ("GET", "a.example", "/orders/", "orders"),
        ("GET", "a.example", "/orders/7", "orders"),
        ("GET", "a.example", "/ordersheet", "rest"),
        ("GET", "a.example", "/orders/7/lines/1", "lines"),
        ("POST", "a.example", "/orders/7/lines/1", "orders"),
        ("PROPFIND", "a.example", "/x", "rest"),
        ("GET", "b.example", "/", None),
        ("GET", "b.example", "/anywhere/x", "anywhere"),
        ("GET", "a.example", "/anywhere/x", "rest"),
    ],
)
def test_the_longest_path_that_takes_the_method_is_chosen(
    method: str, host: str, path: str, name: str | None
) -> None:
    found = table(
        claim("rest", host="a.example"),
        claim("orders", host="a.example", path="/orders/"),
        claim("lines", host="a.example", path="/orders/7/lines", methods=["GET"]),
        claim("anywhere", path="/anywhere"),
    ).find(method, host, path)
    assert name_of(found) == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/orders", "list"),
        ("/orders/", "one"),
        ("/orders/7", "one"),
        ("/orders//", "one"),
        ("/%6Frders", "rest"),
        ("/", "home"),
        ("//", "rest"),
        ("/open/", "open"),
        ("/open", "rest"),
        ("/open//", "rest"),
    ],
)
def test_an_exact_path_is_taken_alone_and_before_a_prefix(path: str, name: str) -> None:
    found = table(
        claim("rest"),
        claim("one", path="/orders"),
        claim("list", path="/orders", pathType="Exact"),
        claim("home", path="/", pathType="Exact"),
        claim("open", path="/open/", pathType="Exact"),
    ).find("GET", "x", path)
    assert name_of(found) == name


@pytest.mark.parametrize("target", ["/", "/in", "/in/", "/a//b"])
def test_the_target_of_an_exact_path_sees_its_own_path(target: str) -> None:
    to = {"function": {"name": "f", "path": target}}
    found = table(claim("f", path="/a/b", pathType="Exact", target=to)).find("GET", "x", "/a/b")
    assert isinstance(found, Destination)
    assert found.rewritten("/a/b") == target


@pytest.mark.parametrize(
    ("prefix", "target", "path", "seen"),
    [
        ("/orders", "/", "/orders", "/"),
        ("/orders", "/", "/orders/7", "/7"),
        ("/orders/", "/in", "/orders/7", "/in/7"),
        ("/orders", "/in/", "/orders", "/in"),
        ("/", "/", "/a//b", "/a//b"),
        ("/", "/in", "/", "/in/"),
        ("/", "/ä;x", "/%41", "/%C3%A4%3Bx/%41"),
    ],
)
def test_the_targets_path_stands_in_place_of_the_sources(
    prefix: str, target: str, path: str, seen: str
) -> None:
    found = table(claim("f", path=prefix, target={"function": {"name": "f", "path": target}})).find(
        "GET", "x", path
    )
    assert isinstance(found, Destination)
    assert found.rewritten(path) == seen


def test_another_method_is_told_which_there_are() -> None:
    found = table(
        claim("read", path="/a", methods=["GET", "HEAD"]),
        claim("write", path="/a/b", methods=["POST"]),
    )
    assert found.find("PUT", "x", "/a") == NotAllowed("GET,HEAD")
    assert found.find("PUT", "x", "/a/b/c") == NotAllowed("GET,HEAD,POST")
    assert found.find("PUT", "x", "/") is None


def test_an_exact_path_is_told_of_where_it_is_and_nowhere_else() -> None:
    found = table(
        claim("list", path="/a", pathType="Exact", methods=["GET"]),
        claim("write", path="/", host="a.example", methods=["POST"]),
    )
    assert found.find("PUT", "a.example", "/a") == NotAllowed("GET,POST")
    assert found.find("PUT", "a.example", "/a/b") == NotAllowed("POST")
    assert found.find("PUT", "b.example", "/a") == NotAllowed("GET")
    assert found.find("PUT", "b.example", "/a/b") is None


def test_what_is_asynchronous_or_for_a_workflow_goes_to_the_events_role() -> None:
    claims = (
        claim("later", path="/later", **{"async": True}),
        claim("flow", path="/flow", target={"workflow": {"name": "w"}}),
    )
    for name in ("later", "flow"):
        found = table(*claims).find("POST", "x", f"/{name}/deeper")
        assert isinstance(found, Destination)
        assert found.function is None
        assert found.rewritten(f"/{name}/deeper") == f"/v1/namespaces/shop/triggers/{name}"
        assert table(*claims, events=False).find("POST", "x", f"/{name}") is None
    assert table().find("GET", "x", CALL_PATH) == CALLS
    assert table(events=False).find("GET", "x", CALL_PATH) is None


def test_the_older_gets_an_address_whatever_the_order_of_the_news() -> None:
    old, young = claim("old", minute=1, path="/a"), claim("young", minute=2, path="/a/")
    for order in ((old, young), (young, old)):
        claims = Claims(order)
        assert [route.trigger.name for route in claims.routes()] == ["old"]
        assert claims.before(young.trigger) == old.trigger
        assert claims.before(old.trigger) is None
        assert claims.put(old.trigger, None) == {young.trigger}
        assert claims.before(young.trigger) is None


def test_other_methods_other_hosts_and_deeper_paths_are_no_conflict() -> None:
    claims = Claims(
        [
            claim("get", path="/a", methods=["GET"]),
            claim("post", path="/a", methods=["POST"]),
            claim("host", path="/a", host="a.example", methods=["GET"]),
            claim("deep", path="/a/b"),
            claim("exact", path="/a", pathType="Exact"),
            claim("slash", path="/a/", pathType="Exact"),
        ]
    )
    assert len(list(claims.routes())) == 6
    every = claim("every", minute=1, path="/a")
    assert claims.put(every.trigger, every) == {
        FunctionKey("shop", "get"),
        FunctionKey("shop", "post"),
    }
    assert claims.before(every.trigger) is not None
    other = claim("other", minute=1, path="/a", pathType="Exact")
    assert claims.put(other.trigger, other) == {FunctionKey("shop", "exact")}


def test_a_queue_has_one_reader_and_a_suspended_trigger_wants_nothing() -> None:
    def reader(name: str, *, suspend: bool) -> dict[str, Any]:
        return {
            "metadata": {"namespace": "shop", "name": name},
            "spec": {
                "source": {"queue": {"name": "q"}},
                "target": {"function": {"name": "f"}},
                "suspend": suspend,
            },
        }

    one, two = claim_of(reader("a", suspend=False)), claim_of(reader("b", suspend=False))
    assert one is not None
    assert two is not None
    assert Claims([one, two]).before(two.trigger) == one.trigger
    assert claim_of(reader("a", suspend=True)) is None
