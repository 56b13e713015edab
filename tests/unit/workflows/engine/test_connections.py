"""Connections of HTTP tasks: what reaches the API, where tokens come from, what nobody gets to see.

The APIs and the servers of tokens are real ones, over loopback.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.unit.workflows.engine.test_integrations import job, of, served
from torpor.workflows.asl.events import Input, TaskFailed
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.integrations.connection_files import ConnectionFiles
from torpor.workflows.engine.integrations.connections import (
    ConnectionProblem,
    OAuth,
    Parameters,
    parse_connection,
)
from torpor.workflows.engine.integrations.http import Http
from torpor.workflows.engine.integrations.http_tokens import AccessTokens
from torpor.workflows.engine.integrations.reach import EVERYWHERE
from torpor.workflows.records import Options

SECRET = "s3cr3t-value"
RESOURCE = "arn:aws:states:::http:invoke"
ARN = "arn:aws:events:us-east-1:123456789012:connection/{}/81210c42-8af1-456b-9c4a-6ff02fc664ac"
BASIC = {
    "AuthorizationType": "BASIC",
    "AuthParameters": {"BasicAuthParameters": {"Username": "ann", "Password": SECRET}},
}
API_KEY = {
    "AuthorizationType": "API_KEY",
    "AuthParameters": {"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": SECRET}},
}
ADDED = {
    "HeaderParameters": [{"Key": "header-param", "Value": "theirs", "IsValueSecret": True}],
    "QueryStringParameters": [{"Key": "q", "Value": "theirs"}],
    "BodyParameters": [{"Key": "body", "Value": "theirs"}],
}


class ManualClock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def now(self) -> float:
        return self.time


@dataclass
class Seen:
    """One request as the API got it."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    text: str


@dataclass
class World:
    """An API, a server of tokens, and the folder with the connections."""

    folder: Path
    api: str = ""
    tokens: str = ""
    clock: ManualClock = field(default_factory=ManualClock)
    requests: list[Seen] = field(default_factory=list)
    asked: list[Seen] = field(default_factory=list)
    answer: Callable[[Seen], web.Response] = lambda _: web.json_response({"ok": True})
    grant: Callable[[Seen], web.Response] = lambda _: web.json_response({})

    def __post_init__(self) -> None:
        self.http = Http(ConnectionFiles(self.folder), EVERYWHERE, self.clock)

    def connect(self, connection: object, name: str = "stripe", namespace: str = "default") -> None:
        place = self.folder / namespace
        place.mkdir(exist_ok=True)
        text = connection if isinstance(connection, str) else json.dumps(connection)
        (place / f"{name}.json").write_text(text)

    def task(self, name: str = "stripe", namespace: str = "default", **given: Any) -> Job:
        arguments = {
            "ApiEndpoint": f"{self.api}/charges",
            "Method": "POST",
            "Authentication": {"ConnectionArn": ARN.format(name)},
            **given,
        }
        return job(RESOURCE, arguments, Options(namespace=namespace))

    async def run(self, **given: Any) -> Input | None:
        return await self.http.run(self.task(**given))

    async def refused(self, **given: Any) -> tuple[str | None, str]:
        """Run a task that fails; its error and cause."""
        outcome = await self.run(**given)
        assert isinstance(outcome, TaskFailed), outcome
        return outcome.error, outcome.cause or ""

    def oauth(self, **fields: Any) -> dict[str, Any]:
        """A connection whose tokens come from the server of tokens."""
        parameters = {
            "AuthorizationEndpoint": f"{self.tokens}/token",
            "HttpMethod": "POST",
            "ClientParameters": {"ClientID": "torpor", "ClientSecret": SECRET},
            **fields,
        }
        kind = "OAUTH_CLIENT_CREDENTIALS"
        return {"AuthorizationType": kind, "AuthParameters": {"OAuthParameters": parameters}}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    found = World(tmp_path)

    def recording(into: list[Seen], answered: Callable[[Seen], web.Response]) -> Any:
        async def answer(request: web.Request) -> web.Response:
            seen = Seen(dict(request.headers), dict(request.query), await request.text())
            into.append(seen)
            return answered(seen)

        return answer

    async with AsyncExitStack() as stack:
        api = recording(found.requests, lambda seen: found.answer(seen))
        tokens = recording(found.asked, lambda seen: found.grant(seen))
        found.api = await stack.enter_async_context(served(api))
        found.tokens = await stack.enter_async_context(served(tokens))
        yield found


@pytest.mark.parametrize(
    ("connection", "header", "value"),
    [
        (BASIC, "Authorization", "Basic " + base64.b64encode(f"ann:{SECRET}".encode()).decode()),
        (API_KEY, "X-Key", SECRET),
    ],
)
async def test_credentials_are_sent_as_a_header(
    world: World, connection: object, header: str, value: str
) -> None:
    world.connect(connection)
    assert of(await world.run(Headers={header: "mine"}))["StatusCode"] == 200
    assert world.requests[0].headers[header] == value


async def test_an_invocation_config_names_a_connection_as_well(world: World) -> None:
    world.connect(API_KEY, "c-1")
    config = {"ConnectionArn": "arn:aws:events:eu-west-1:1:connection/c-1"}
    of(await world.run(Authentication=None, InvocationConfig=config))
    assert world.requests[0].headers["X-Key"] == SECRET


def test_credentials_replace_a_header_of_their_name_in_any_spelling() -> None:
    header = {"Key": "authorization", "Value": "theirs"}
    added = {"InvocationHttpParameters": {"HeaderParameters": [header]}}
    connection = {**BASIC, "AuthParameters": {**BASIC["AuthParameters"], **added}}  # type: ignore[dict-item]
    parameters = parse_connection(json.dumps(connection).encode()).parameters
    assert list(parameters.headers) == ["Authorization"]
    assert parameters.with_header("AUTHORIZATION", "x").headers == {"AUTHORIZATION": "x"}


async def test_parameters_of_a_connection_are_added_and_win(world: World) -> None:
    parameters = {**API_KEY["AuthParameters"], "InvocationHttpParameters": ADDED}  # type: ignore[dict-item]
    world.connect({**API_KEY, "AuthParameters": parameters})
    of(
        await world.run(
            Headers={"Header-Param": "mine", "Request-Id": "r"},
            QueryParameters={"q": "mine", "other": "x y"},
            RequestBody={"body": "mine", "job": 1},
        )
    )
    [seen] = world.requests
    assert (seen.headers["header-param"], seen.headers["Request-Id"]) == ("theirs", "r")
    assert "Header-Param" not in seen.headers
    assert seen.query == {"q": "theirs", "other": "x y"}
    assert json.loads(seen.text) == {"body": "theirs", "job": 1}
    error, cause = await world.refused(RequestBody="text")
    assert error == "States.Runtime"
    assert "JSON object" in cause


@pytest.mark.parametrize(
    ("name", "namespace"), [("gone", "default"), ("stripe", "bank"), ("stripe", "./default")]
)
async def test_a_connection_is_for_the_namespace_that_it_was_given_to(
    world: World, name: str, namespace: str
) -> None:
    world.connect(API_KEY)
    error, cause = await world.refused(name=name, namespace=namespace)
    assert error == "Events.ConnectionResource.ResourceNotFound"
    assert "workflows.connections" in cause
    assert world.requests == []


@pytest.mark.parametrize("arn", ["stripe", "arn:aws:events:r:1:connection/../x/y", ""])
async def test_what_is_no_arn_of_a_connection_is_refused(world: World, arn: str) -> None:
    error, cause = await world.refused(Authentication={"ConnectionArn": arn})
    assert error == "States.Runtime"
    assert "arn:aws:events:REGION" in cause


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (f"{{{SECRET}", "not JSON"),
        ([SECRET], "the document"),
        ({"AuthorizationType": SECRET, "AuthParameters": {}}, "AuthorizationType must be"),
        ({"AuthorizationType": "BASIC"}, "AuthParameters is missing"),
        ({**BASIC, "AuthParameters": {"BasicAuthParameters": {"Username": SECRET}}}, "Password"),
        (
            {**API_KEY, "AuthParameters": {"ApiKeyAuthParameters": {"ApiKeyName": "X",
             "ApiKeyValue": f"{SECRET}\r\nY: z"}}},
            "no header can have",
        ),
        ({**BASIC, "Hosts": SECRET}, "Hosts must be a list"),
        (" " * 70_000, "over 65536 bytes"),
    ],
)  # fmt: skip
async def test_a_wrong_connection_is_told_without_what_is_in_it(
    world: World, document: object, told: str
) -> None:
    world.connect(document)
    error, cause = await world.refused()
    assert error == "Events.ConnectionResource.InvalidConnectionState"
    assert told in cause
    assert "'stripe' of the namespace default" in cause
    assert SECRET not in cause
    assert world.requests == []


async def test_a_connection_with_hosts_goes_to_no_other(world: World) -> None:
    world.connect({**API_KEY, "Hosts": ["API.example.com", "127.0.0.1"]})
    assert of(await world.run())["StatusCode"] == 200
    elsewhere = world.api.replace("127.0.0.1", "localhost")
    error, cause = await world.refused(ApiEndpoint=elsewhere)
    assert error == "Events.ConnectionResource.AccessDenied"
    assert "localhost" in cause
    error, _ = await world.refused(Headers={"host": "api.example.com"})
    assert error == "States.Runtime"
    assert len(world.requests) == 1


async def test_a_secret_that_the_kubelet_swaps_counts_at_once(world: World) -> None:
    """A mounted Secret is a link to a folder by way of another link, which is replaced."""
    for version, value in (("..1", "old"), ("..2", "new")):
        (world.folder / version / "default").mkdir(parents=True)
        parameters = {"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": value}}
        text = json.dumps({**API_KEY, "AuthParameters": parameters})
        (world.folder / version / "default" / "stripe.json").write_text(text)
    (world.folder / "..data").symlink_to("..1")
    (world.folder / "default").symlink_to("..data/default")
    await world.run()
    (world.folder / "..data_tmp").symlink_to("..2")
    (world.folder / "..data_tmp").rename(world.folder / "..data")
    await world.run()
    assert [seen.headers["X-Key"] for seen in world.requests] == ["old", "new"]


def granting(world: World, **fields: Any) -> None:
    """Have the server give a new token each time, and the API take only the latest."""
    world.grant = lambda _: web.json_response({"access_token": f"t{len(world.asked)}", **fields})


async def test_a_token_is_asked_for_once_and_kept_until_shortly_before_its_end(
    world: World,
) -> None:
    granting(world, expires_in=300)
    world.connect(world.oauth())
    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(world.run(), name=f"task {number}")
    world.clock.time += 269
    await world.run()
    assert {seen.headers["Authorization"] for seen in world.requests} == {"Bearer t1"}
    world.clock.time += 2
    await world.run()
    assert world.requests[-1].headers["Authorization"] == "Bearer t2"
    assert len(world.asked) == 2


@pytest.mark.parametrize("status", [200, 503])
async def test_who_asks_while_a_token_is_fetched_shares_what_comes_of_it(
    world: World, status: int
) -> None:
    async with held_grants(status) as (url, asked, release, given):
        tokens = AccessTokens(world.clock)
        client = OAuth(url, "POST", "torpor", SECRET, Parameters())
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(_told(tokens, client), name=f"ask {n}") for n in range(5)]
            await asked.wait()
            release.set()
    told = "t1" if status == 200 else "ConnectionProblem"
    assert [task.result() for task in asking] == [told] * 5
    assert given == ["t1"]


async def test_who_stops_waiting_for_a_token_leaves_the_others_with_one(world: World) -> None:
    async with held_grants(200) as (url, asked, release, _):
        tokens = AccessTokens(world.clock)
        client = OAuth(url, "POST", "torpor", SECRET, Parameters())
        async with asyncio.TaskGroup() as group:
            first, second = (
                group.create_task(_told(tokens, client), name=f"ask {n}") for n in range(2)
            )
            await asked.wait()
            first.cancel()
            release.set()
    assert first.cancelled()
    assert second.result() == "t2"


async def _told(tokens: AccessTokens, client: OAuth) -> str:
    try:
        async with asyncio.timeout(10):
            return await tokens.get(("default", "stripe"), client)
    except ConnectionProblem as problem:
        return type(problem).__name__


@asynccontextmanager
async def held_grants(
    status: int,
) -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Event, list[str]]]:
    """A server of tokens that answers when it is let, each time with another token.

    Gives its address, whether it was asked, what lets it answer, and what it gave.
    """
    asked, release = asyncio.Event(), asyncio.Event()
    given: list[str] = []

    async def answer(_: web.Request) -> web.Response:
        given.append(f"t{len(given) + 1}")
        token = given[-1]
        asked.set()
        await release.wait()
        return web.json_response({"access_token": token}, status=status)

    async with served(answer) as url:
        yield url, asked, release, given


async def test_how_a_token_is_asked_for(world: World) -> None:
    granting(world)
    added = {
        "HeaderParameters": [{"Key": "X-Tenant", "Value": "t"}],
        "QueryStringParameters": [{"Key": "audience", "Value": "a b"}],
        "BodyParameters": [{"Key": "scope", "Value": "read write"}],
    }
    world.connect(world.oauth(OAuthHttpParameters=added))
    world.connect(world.oauth(OAuthHttpParameters=added, HttpMethod="GET"), "by-query")
    by_body = [
        {"Key": "client_id", "Value": "torpor"},
        {"Key": "client_secret", "Value": SECRET},
    ]
    world.connect(world.oauth(OAuthHttpParameters={"BodyParameters": by_body}), "by-body")
    for name in ("stripe", "by-query", "by-body"):
        await world.run(name=name)
    posted, got, told = world.asked
    proof = "Basic " + base64.b64encode(f"torpor:{SECRET}".encode()).decode()
    assert posted.headers["Authorization"] == got.headers["Authorization"] == proof
    assert posted.headers["X-Tenant"] == "t"
    assert posted.query == {"audience": "a b"}
    assert posted.text == "grant_type=client_credentials&scope=read+write"
    assert got.query == {
        "audience": "a b", "grant_type": "client_credentials", "scope": "read write"
    }  # fmt: skip
    assert "Authorization" not in told.headers
    assert f"client_secret={SECRET}" in told.text


@pytest.mark.parametrize("status", [401, 407])
async def test_a_token_that_is_refused_is_replaced_once(world: World, status: int) -> None:
    granting(world)
    world.connect(world.oauth())
    good = {"Bearer t2"}
    world.answer = lambda seen: web.Response(
        status=200 if seen.headers["Authorization"] in good else status
    )
    assert of(await world.run())["StatusCode"] == 200
    assert len({seen.headers["Idempotency-Key"] for seen in world.requests}) == 1
    good.clear()
    error, _ = await world.refused()
    assert error == f"States.Http.StatusCode.{status}"
    assert [seen.headers["Authorization"][-2:] for seen in world.requests] == [
        "t1", "t2", "t2", "t3"
    ]  # fmt: skip


async def test_only_a_token_is_replaced(world: World) -> None:
    world.connect(BASIC)
    world.answer = lambda _: web.Response(status=401)
    assert (await world.refused())[0] == "States.Http.StatusCode.401"
    assert len(world.requests) == 1


async def test_a_changed_client_gets_a_token_of_its_own(world: World) -> None:
    granting(world)
    world.connect(world.oauth())
    await world.run()
    world.connect(world.oauth(ClientParameters={"ClientID": "other", "ClientSecret": SECRET}))
    await world.run()
    assert [seen.headers["Authorization"] for seen in world.requests] == ["Bearer t1", "Bearer t2"]


@pytest.mark.parametrize(
    ("grant", "error", "told"),
    [
        (lambda: web.Response(status=401, text=SECRET), "InvalidConnectionState", "status 401"),
        (lambda: web.Response(status=302, headers={"Location": "/"}), "InvalidConnectionState",
         "status 302"),
        (lambda: web.Response(status=503, text=SECRET), "InternalError", "status 503"),
        (lambda: web.Response(text=SECRET), "InvalidConnectionState", "access_token"),
        (lambda: web.json_response({"access_token": f"{SECRET} \n"}), "InvalidConnectionState",
         "access_token"),
        (lambda: web.Response(text="[" * 100_000), "InvalidConnectionState", "access_token"),
    ],
)  # fmt: skip
async def test_without_a_token_nothing_is_sent(
    world: World, grant: Callable[[], web.Response], error: str, told: str
) -> None:
    world.grant = lambda _: grant()
    world.connect(world.oauth())
    found, cause = await world.refused()
    assert found == f"Events.ConnectionResource.{error}"
    assert told in cause
    assert SECRET not in cause
    assert (world.requests, len(world.asked)) == ([], 1)


async def test_a_server_of_tokens_that_is_away_is_told(world: World) -> None:
    world.connect(world.oauth(AuthorizationEndpoint=f"http://127.0.0.1:9/{SECRET}"))
    error, cause = await world.refused()
    assert error == "Events.ConnectionResource.InternalError"
    assert "127.0.0.1 cannot be reached" in cause
    assert SECRET not in cause


@asynccontextmanager
async def broken() -> AsyncIterator[str]:
    """A server whose answers are no HTTP."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 2000 \x00\r\nnot a header\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_no_error_and_no_log_has_a_secret(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    added = {"QueryStringParameters": [{"Key": "key", "Value": SECRET}]}
    parameters = {**BASIC["AuthParameters"], "InvocationHttpParameters": added}  # type: ignore[dict-item]
    world.connect({**BASIC, "AuthParameters": parameters})
    async with broken() as url:
        error, cause = await world.refused(ApiEndpoint=url)
    assert error == "States.Http.Socket"
    assert cause
    assert SECRET not in cause
    away, cause = await world.refused(ApiEndpoint="http://127.0.0.1:9/")
    assert (away, SECRET in cause) == ("States.Http.Socket", False)
    assert SECRET not in caplog.text
    found = await ConnectionFiles(world.folder).find("default", "stripe")
    assert SECRET not in f"{found!r} {found.parameters!r}"


class Watching:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.request: Mapping[str, str] = {}
        self.response: Mapping[str, str] = {}

    def sent(self, request: Mapping[str, str]) -> None:
        self.request = request

    def got(self, response: Mapping[str, str]) -> None:
        self.response = response


async def test_an_observer_sees_the_request_without_what_the_connection_adds(world: World) -> None:
    added = {part: [{"Key": "k", "Value": SECRET}] for part in ADDED}
    parameters = {**BASIC["AuthParameters"], "InvocationHttpParameters": added}  # type: ignore[dict-item]
    world.connect({**BASIC, "AuthParameters": parameters})
    watching = Watching()
    task = world.task(RequestBody={"job": 1}, QueryParameters={"q": "1"}, Headers={"Mine": "yes"})
    of(await world.http.run(replace(task, observer=watching)))
    assert watching.request["url"] == f"{world.api}/charges?q=1"
    assert watching.request["body"] == '{"job":1}'
    assert "Mine: yes" in watching.request["headers"]
    assert SECRET not in str(watching.request)
    assert json.loads(watching.response["body"]) == {"ok": True}
    assert watching.response["statusCode"] == "200"
    assert SECRET in str([world.requests[0].headers, world.requests[0].query])


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        (None, "a%5B0%5D=x&a%5B1%5D=y&b%5Bk%5D=v%20w&n=1&t=true"),
        ("INDICES", "a%5B0%5D=x&a%5B1%5D=y&b%5Bk%5D=v%20w&n=1&t=true"),
        ("REPEAT", "a=x&a=y&b%5Bk%5D=v%20w&n=1&t=true"),
        ("COMMAS", "a=x,y&b%5Bk%5D=v%20w&n=1&t=true"),
        ("BRACKETS", "a%5B%5D=x&a%5B%5D=y&b%5Bk%5D=v%20w&n=1&t=true"),
    ],
)
async def test_forms(world: World, arrays: str | None, text: str) -> None:
    world.connect(API_KEY)
    transform: dict[str, Any] = {"RequestBodyEncoding": "URL_ENCODED"}
    if arrays:
        transform["RequestEncodingOptions"] = {"ArrayFormat": arrays}
    body = {"a": ["x", "y"], "b": {"k": "v w"}, "n": 1, "t": True}
    of(await world.run(RequestBody=body, Transform=transform))
    assert world.requests[0].text == text
    assert world.requests[0].headers["Content-Type"] == "application/x-www-form-urlencoded"


async def test_a_form_that_cannot_be_made_is_refused(world: World) -> None:
    world.connect(API_KEY)
    form = {"RequestBodyEncoding": "URL_ENCODED"}
    assert (await world.refused(RequestBody="x", Transform=form))[0] == "States.Runtime"
    odd = {**form, "RequestEncodingOptions": {"ArrayFormat": "ODD"}}
    error, cause = await world.refused(RequestBody={}, Transform=odd)
    assert (error, "INDICES" in cause) == ("States.Runtime", True)
