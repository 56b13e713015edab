"""`torpor invoke`, the whole command, against a server that records what reached the gateway."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import web

from tests.unit.cli.conftest import Torpor
from tests.unit.cli.fake_cluster import PROXY, FakeCluster, refusal


async def test_goes_through_the_api_server_by_the_path_address(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    done = await torpor("invoke", "thumb", "--path", "/a%20b?c=d&e")
    assert (done.code, done.out, done.err) == (0, "served\n", "")
    (got,) = cluster.received
    assert (got.method, got.path) == ("GET", "/function/shop/thumb/a%20b?c=d&e")
    assert got.headers["authorization"] == "Bearer secret"


async def test_goes_directly_to_a_gateway_and_shows_it_no_credentials(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    done = await torpor("invoke", "other/thumb", "--gateway", cluster.url)
    assert (done.code, done.out) == (0, "served\n")
    (got,) = cluster.received
    assert got.path == "/function/other/thumb/"
    assert "authorization" not in got.headers


async def test_a_gateway_may_be_given_as_host_and_port(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    done = await torpor("invoke", "thumb", "--gateway", cluster.url.removeprefix("http://"))
    assert (done.code, done.out) == (0, "served\n")


@pytest.mark.parametrize("source", ["literal", "file", "stdin"])
async def test_data_makes_it_a_post(
    cluster: FakeCluster, torpor: Torpor, tmp_path: Path, source: str
) -> None:
    file = tmp_path / "body"
    file.write_bytes(b'{"n": 1}')
    data = {"literal": '{"n": 1}', "file": f"@{file}", "stdin": "@-"}[source]
    words = ("invoke", "thumb", "-d", data, "-H", "Content-Type: application/json")
    done = await torpor(*words, stdin=b'{"n": 1}')
    assert done.code == 0, done.err
    (got,) = cluster.received
    assert (got.method, got.body) == ("POST", b'{"n": 1}')
    assert got.headers["content-type"] == "application/json"


async def test_include_prints_status_and_headers(cluster: FakeCluster, torpor: Torpor) -> None:
    cluster.answers = iter([web.Response(text="x", status=201, headers={"X-Pod": "p"})])
    done = await torpor("invoke", "thumb", "-i")
    head, _, body = done.out.partition("\n\n")
    assert (done.code, body) == (0, "x")
    assert head.startswith("HTTP/1.1 201 Created\n")
    assert "X-Pod: p" in head


async def test_a_problem_of_the_gateway_is_one_line(cluster: FakeCluster, torpor: Torpor) -> None:
    body = {"code": "cannot-start", "detail": "shop/thumb cannot start: CrashLoopBackOff: exit 1"}
    answer = web.Response(
        text=json.dumps(body), status=503, content_type="application/problem+json"
    )
    cluster.answers = iter([answer])
    done = await torpor("invoke", "thumb")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"torpor invoke: 503 Service Unavailable: {body['detail']}\n"


async def test_an_error_of_the_function_is_shown_as_it_is(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.answers = iter([web.Response(text="my own error\n", status=500)])
    done = await torpor("invoke", "thumb")
    assert (done.code, done.out) == (1, "my own error\n")
    assert done.err == "torpor invoke: 500 Internal Server Error\n"


async def test_no_gateway_in_the_cluster_says_where_it_looked(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.answers = iter([refusal(404, 'services "torpor-gateway" not found')])
    done = await torpor("invoke", "thumb")
    assert done.code == 1
    assert "torpor-system (--torpor-namespace)" in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--gateway", "http://127.0.0.1:1"), "no answer from http://127.0.0.1:1"),
        (("--gateway", "nonsense"), "write http://host:port"),
        (("--gateway", "ftp://127.0.0.1"), "write http://host:port"),
        (("-H", "no colon"), "Name: value"),
        (("-H", "Authorization: Bearer mine"), "--gateway"),
        (("-H", "X-A: b\r\nX: 1"), "a value is one line without control characters"),
        (("-H", "X A: b"), "a name is one word"),
        (("-X", "BAD METHOD"), "a method is one word, such as GET"),
        (("-X", "G\u00c9T"), "a method is one word, such as GET"),
        (("-d", "@/no/such/file"), "No such file"),
        (("--path", "relative"), "begins with /"),
        (("--kubeconfig", "/no/such/file"), "kubeconfig /no/such/file"),
    ],
)
async def test_a_mistake_is_one_line_and_nothing_is_sent(
    cluster: FakeCluster, torpor: Torpor, words: tuple[str, ...], said: str
) -> None:
    done = await torpor("invoke", "thumb", *words)
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1), done.err
    assert said in done.err
    assert not cluster.received


async def test_usage_is_status_2(torpor: Torpor) -> None:
    assert (await torpor("invoke")).code == 2


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "soon"])
async def test_a_timeout_is_more_than_nothing_and_has_an_end(
    cluster: FakeCluster, torpor: Torpor, given: str
) -> None:
    done = await torpor("invoke", "thumb", f"--timeout={given}")
    assert (done.code, cluster.received) == (2, [])
    said = f"argument --timeout: {given!r}: give seconds, more than 0, such as 30 or 0.5"
    assert done.err.splitlines()[-1].endswith(said)


async def test_async_asks_at_the_location_until_there_is_a_result(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    place = {"Location": "/v1/namespaces/shop/calls/c-1", "Retry-After": "0"}
    cluster.answers = iter(
        [
            web.Response(status=202, headers=place),
            web.Response(status=202, headers={"Retry-After": "0"}),
            web.Response(text="done\n"),
        ]
    )
    done = await torpor("invoke", "thumb", "-d", "x", "--async")
    assert (done.code, done.out) == (0, "done\n")
    assert "the result will be at /v1/namespaces/shop/calls/c-1" in done.err
    sent, *asked = cluster.received
    assert (sent.path, sent.headers["prefer"]) == ("/function/shop/thumb/", "respond-async")
    assert [(it.method, it.path) for it in asked] == [("GET", "/v1/namespaces/shop/calls/c-1")] * 2


async def test_async_follows_a_location_that_the_api_server_put_its_path_before(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    proxied = {"Location": f"{PROXY}/v1/calls/c-1?x=1", "Retry-After": "0"}
    cluster.answers = iter([web.Response(status=202, headers=proxied), web.Response(text="done")])
    done = await torpor("invoke", "thumb", "--async")
    assert (done.code, done.out) == (0, "done")
    assert cluster.received[1].path == "/v1/calls/c-1?x=1"


async def test_async_gives_up_in_time_and_says_where_the_result_will_be(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.answers = iter([web.Response(status=202, headers={"Location": "/v1/calls/c-1"})])
    done = await torpor("invoke", "thumb", "--async", "--timeout", "0.5")
    assert done.code == 1
    assert "no result within 0.5 s (--timeout); ask /v1/calls/c-1" in done.err


async def test_async_says_when_the_gateway_answers_at_once(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    done = await torpor("invoke", "thumb", "--async")
    assert (done.code, done.out) == (0, "served\n")
    assert "it takes no asynchronous calls" in done.err


async def test_lambda_goes_through_lambdas_api(cluster: FakeCluster, torpor: Torpor) -> None:
    cluster.answers = iter([web.Response(text='"ok"')])
    done = await torpor("fn", "invoke", "thumb", "--lambda", "-d", '{"n": 1}')
    assert (done.code, done.out) == (0, '"ok"')
    (got,) = cluster.received
    path = "/2015-03-31/functions/shop.thumb/invocations"
    assert (got.method, got.path, got.body) == ("POST", path, b'{"n": 1}')


async def test_a_function_that_failed_on_lambdas_api_is_status_1(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    failed = web.Response(text="{}", headers={"X-Amz-Function-Error": "Unhandled"})
    cluster.answers = iter([failed])
    done = await torpor("invoke", "thumb", "--lambda")
    assert (done.code, done.out) == (1, "{}\n")
    assert done.err == "torpor invoke: the function failed: Unhandled\n"


@pytest.mark.parametrize(
    "words", [("-d", "no json"), ("--path", "/x"), ("-X", "GET")], ids=["data", "path", "method"]
)
async def test_lambda_takes_an_event_and_nothing_else(
    cluster: FakeCluster, torpor: Torpor, words: tuple[str, ...]
) -> None:
    done = await torpor("invoke", "thumb", "--lambda", *words)
    assert (done.code, done.out, cluster.received) == (1, "", [])
    assert "--lambda" in done.err
