"""Which function a request is for."""

from __future__ import annotations

import pytest

from torpor.gateway.http_table import HttpTable
from torpor.gateway.routes import Routes, host_only, is_lambda, prefers_async
from torpor.resources.names import FunctionKey

ECHO = FunctionKey("shop", "echo")
ROUTES = Routes.of([ECHO], "functions.example", "cluster.local")


@pytest.mark.parametrize(
    ("host", "path", "seen"),
    [
        ("echo.shop.functions.example", "/a", "/a"),
        ("ECHO.shop.functions.example.:8080", "/a", "/a"),
        ("echo.shop.svc.cluster.local", "/", "/"),
        ("echo.shop.svc", "/", "/"),
        ("echo.shop", "/", "/"),
        ("anything", "/function/shop/echo/a/b?c=d", "/a/b?c=d"),
        ("anything", "/function/shop/echo", "/"),
    ],
)
def test_by_host_or_by_path(host: str, path: str, seen: str) -> None:
    assert ROUTES.find(host, path) == (ECHO, seen)


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("other.shop.functions.example", "/"),
        ("", "/"),
        ("[::1]", "/"),
        ("echo.shop.functions.example", "/function/shop/other/a"),
        ("echo.shop.functions.example", "/function/"),
    ],
)
def test_for_none(host: str, path: str) -> None:
    assert ROUTES.find(host, path) is None


def test_the_result_of_a_call_is_at_every_host_where_calls_are_kept() -> None:
    path = "/function/@calls/shop/7"
    kept = Routes.of([ECHO], "d", "c", HttpTable.of([], events=True))
    found = kept.find_trigger("GET", "any", path)
    assert getattr(found, "path", None) == "/v1/namespaces/shop/calls/7"
    assert kept.find_trigger("GET", "any", f"{path}/more") is None
    assert ROUTES.find_trigger("GET", "any", path) is None
    assert ROUTES.find_trigger("GET", "any", "/elsewhere") is None


def test_a_host_is_compared_without_port_case_and_last_dot() -> None:
    hosts = ("A.example:80", "a.example.", "[::1]:80", "[::1]")
    assert [host_only(host) for host in hosts] == ["a.example", "a.example", "[::1]", "[::1]"]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["respond-async"], True),
        (["return=minimal, Respond-Async; x=1"], True),
        (["return=minimal", "respond-async"], True),
        (["respond-asynchronously"], False),
        ([], False),
    ],
)
def test_preferences(values: list[str], wanted: bool) -> None:
    assert prefers_async(values) is wanted


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/2015-03-31/functions/f/invocations", True),
        ("/2015-03-31/functions", True),
        ("/2015-03-31/functionsand", False),
        ("/functions/f", False),
    ],
)
def test_paths_of_the_lambda_api(path: str, expected: bool) -> None:
    assert is_lambda(path) is expected
