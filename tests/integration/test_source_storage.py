"""Objects made and removed: a real S3 server's notifications, and looks at its buckets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from obstore.store import LocalStore

from tests.support.servers.versitygw import needs_versitygw, object_server
from tests.support.source_rig import KeptPositions, content_of, data_of, reading, trigger, world
from torpor.resources.trigger import Trigger
from torpor.triggers.base import SourceAway, SourceMisconfigured
from torpor.triggers.event import Event
from torpor.triggers.sources.storage import open_source
from torpor.triggers.sources.storage_change import ObjectChange, Operation
from torpor.triggers.sources.storage_notification import parse_notification

AWKWARD = "a b/grüße+1 & 2%20.txt"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
QUICK = {"pollSeconds": 0.5, "events": ["created", "removed"]}


@dataclass
class Webhook:
    """Where a store posts."""

    url: str = ""
    changes: list[ObjectChange] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.changes += parse_notification(await request.read())
        return web.Response()

    async def told(self, count: int) -> list[ObjectChange]:
        async with asyncio.timeout(20):
            while len(self.changes) < count:  # noqa: ASYNC110 - another process posts
                await asyncio.sleep(0.01)
        return self.changes


@contextlib.asynccontextmanager
async def webhook() -> AsyncIterator[Webhook]:
    hook = Webhook()
    app = web.Application()
    app.router.add_post("/", hook.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    hook.url = f"http://127.0.0.1:{port}/"
    try:
        yield hook
    finally:
        await runner.cleanup()


def photos(**settings: Any) -> Trigger:
    return trigger({"storage": {"bucket": "photos", **settings}})


def told(events: list[Event]) -> list[tuple[str, str | None]]:
    return [(event.type.rpartition(".")[2], event.subject) for event in events]


@needs_versitygw
async def test_notifications_of_a_real_server_become_changes() -> None:
    async with webhook() as hook, object_server(hook.url) as server:
        client = server.client()
        await asyncio.to_thread(_use, client)
        changes = await hook.told(6)
        assert sorted((change.operation, change.key) for change in changes) == sorted(
            [
                (Operation.CREATED, AWKWARD),
                (Operation.CREATED, "plus+sign.txt"),
                (Operation.CREATED, "copy"),
                (Operation.REMOVED, "copy"),
                (Operation.REMOVED, "plus+sign.txt"),
                (Operation.REMOVED, AWKWARD),
            ]
        )
        (put,) = [c for c in changes if c.key == AWKWARD and c.operation is Operation.CREATED]
        event = put.event()
        assert event.type == "dev.torpor.storage.object.created"
        assert (event.source, event.subject) == ("s3://photos", AWKWARD)
        assert data_of(event)["size"] == 5
        assert data_of(event)["etag"] == "5d41402abc4b2a76b9719d911017c592"
        assert data_of(event)["eventName"] == "ObjectCreated:Put"
        assert len({change.event().id for change in changes}) == 6


def _use(client: Any) -> None:
    client.create_bucket(Bucket="photos")
    client.put_object(Bucket="photos", Key=AWKWARD, Body=b"hello")
    client.put_object(Bucket="photos", Key="plus+sign.txt", Body=b"hello")
    client.copy_object(
        Bucket="photos", Key="copy", CopySource={"Bucket": "photos", "Key": "plus+sign.txt"}
    )
    client.put_object_tagging(
        Bucket="photos", Key="copy", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}
    )
    client.delete_object(Bucket="photos", Key="copy")
    keys = [{"Key": "plus+sign.txt"}, {"Key": AWKWARD}]
    client.delete_objects(Bucket="photos", Delete={"Objects": keys})


@needs_versitygw
async def test_a_bucket_of_a_real_server_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    async with object_server() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        client = server.client()
        around = world(objects_url="s3://torpor")
        async with reading(open_source, photos(**QUICK), around) as reader:
            with pytest.raises(SourceMisconfigured, match="create it"):
                raise await reader.failure() or AssertionError
        await asyncio.to_thread(client.create_bucket, Bucket="photos")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
        async with reading(open_source, photos(**QUICK), around) as reader:
            with pytest.raises(SourceMisconfigured, match="credentials"):
                raise await reader.failure() or AssertionError
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.environment()["AWS_SECRET_ACCESS_KEY"])
        async with reading(open_source, photos(**QUICK), around) as reader:
            await asyncio.to_thread(
                client.put_object,
                Bucket="photos",
                Key=AWKWARD,
                Body=b"hello",
                Metadata={"traceparent": TRACE},
            )
            (created,) = await reader.take(1)
            assert told([created]) == [("created", AWKWARD)]
            assert created.traceparent == TRACE
            assert data_of(created)["size"] == 5
            assert data_of(created)["etag"] == "5d41402abc4b2a76b9719d911017c592"
            await asyncio.to_thread(client.delete_object, Bucket="photos", Key=AWKWARD)
            assert told(await reader.take(1)) == [("removed", AWKWARD)]


@needs_versitygw
async def test_a_secret_leads_to_a_store_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the installation's credentials, in the environment, goes there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "installation")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "installation's")
    mine = {**QUICK, "secret": "store"}
    async with object_server() as server:
        client = server.client()
        await asyncio.to_thread(client.create_bucket, Bucket="photos")
        fields = {name: text.encode() for name, text in server.environment().items()}
        around = world(secrets={"store": fields})
        async with reading(open_source, photos(**mine), around) as reader:
            put = {"Bucket": "photos", "Key": "a", "Metadata": {"traceparent": TRACE}}
            await asyncio.to_thread(client.put_object, **put)
            (created,) = await reader.take(1)
            assert (told([created]), created.traceparent) == ([("created", "a")], TRACE)
        wrong = world(secrets={"store": {**fields, "AWS_SECRET_ACCESS_KEY": b"another"}})
        async with reading(open_source, photos(**mine), wrong) as reader:
            with pytest.raises(SourceMisconfigured, match="may not be read"):
                raise await reader.failure() or AssertionError


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": b"a"}, "the Secret store has no AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ENDPOINT_URL": b"file:///etc"}, "must begin with http:// or https://"),
        ({"AWS_REGION": b"\xff"}, "must be UTF-8"),
    ],
)
async def test_a_secret_that_cannot_be_used_says_why(fields: dict[str, bytes], said: str) -> None:
    around = world(secrets={"store": fields})
    async with reading(open_source, photos(**QUICK, secret="store"), around) as reader:
        with pytest.raises(SourceMisconfigured, match=said):
            raise await reader.failure() or AssertionError


@dataclass
class Folder:
    """An object store in a folder, as `torpor dev` has it."""

    place: Path
    positions: KeptPositions = field(default_factory=KeptPositions)

    def __post_init__(self) -> None:
        (self.place / "photos").mkdir(exist_ok=True)
        self.photos = LocalStore(self.place / "photos")

    def read(self, **settings: Any) -> Any:
        around = world(positions=self.positions, objects_url=f"file://{self.place}")
        return reading(open_source, photos(**{**QUICK, **settings}), around)


async def test_what_is_there_is_no_news_and_what_changes_is(tmp_path: Path) -> None:
    at = Folder(tmp_path)
    at.photos.put("old.png", b"1")
    async with at.read(prefix="img/2026", suffix=".png") as reader:
        at.photos.put("img/2026-1.png", b"1")
        at.photos.put("img/2025-1.png", b"1")
        at.photos.put("img/2026-1.txt", b"1")
        assert told(await reader.take(1)) == [("created", "img/2026-1.png")]
        at.photos.put("img/2026-1.png", b"other")
        (again,) = await reader.take(1)
        assert (told([again]), data_of(again)["size"]) == ([("created", "img/2026-1.png")], 5)
        at.photos.delete("img/2026-1.png")
        at.photos.delete("old.png")
        assert told(await reader.take(1)) == [("removed", "img/2026-1.png")]
        assert await reader.quiet(1.0)


async def test_the_trace_of_an_object_is_kept_beside_it_and_is_no_object(tmp_path: Path) -> None:
    at = Folder(tmp_path)
    metadata = tmp_path / "photos" / ".metadata" / "img"
    async with at.read() as reader:
        metadata.mkdir(parents=True)
        (metadata / "a.png").write_text(json.dumps({"traceparent": TRACE, "mine": "x"}))
        (metadata / "b.png").write_text("no JSON")
        (metadata / "c.png").write_text(json.dumps({"traceparent": "no trace"}))
        (metadata / "d.png").write_text("[" * 100_000)
        for name in "abcde":
            at.photos.put(f"img/{name}.png", b"1")
        events = await reader.take(5)
        assert sorted(told(events)) == [("created", f"img/{name}.png") for name in "abcde"]
        traces = {event.subject: event.traceparent for event in events}
        assert traces == {"img/a.png": TRACE, **{f"img/{name}.png": None for name in "bcde"}}
        assert await reader.quiet(0.6)


async def test_what_happened_while_nobody_looked_is_told_and_nothing_twice(tmp_path: Path) -> None:
    at = Folder(tmp_path)
    async with at.read() as reader:
        at.photos.put("a", b"1")
        (held,) = await reader.hold(1)
    async with at.read() as reader:
        (again,) = await reader.take(1)
        assert again.id == content_of(held).id
        at.photos.put("b", b"1")
        await reader.take(1)
        writes = at.positions.writes
        async with asyncio.timeout(10):
            while at.positions.writes == writes:  # noqa: ASYNC110 - the source's work, beside
                await asyncio.sleep(0.01)
    at.photos.delete("a")
    async with at.read() as reader:
        at.photos.put("c", b"1")
        assert sorted(told(await reader.take(2))) == [("created", "c"), ("removed", "a")]


async def test_another_selection_begins_anew(tmp_path: Path) -> None:
    at = Folder(tmp_path)
    at.photos.put("a/1", b"1")
    async with at.read(prefix="b/"):
        pass
    async with at.read(prefix="a/") as reader:
        at.photos.put("a/2", b"1")
        assert told(await reader.take(1)) == [("created", "a/2")]


async def test_removals_are_told_only_to_those_who_ask(tmp_path: Path) -> None:
    at = Folder(tmp_path)
    at.photos.put("a", b"1")
    async with at.read(events=["created"]) as reader:
        at.photos.delete("a")
        at.photos.put("b", b"1")
        assert told(await reader.take(1)) == [("created", "b")]


async def test_many_objects_are_kept_in_small_values(tmp_path: Path) -> None:
    at = Folder(tmp_path)
    folder = tmp_path / "photos" / "many"
    folder.mkdir()
    for number in range(5_000):
        (folder / f"object-with-quite-a-long-name-{number}").touch()
    async with at.read() as reader:
        (folder / "object-with-quite-a-long-name-7").unlink()
        at.photos.put("many/new", b"1")
        assert {kind for kind, _ in told(await reader.take(2))} == {"created", "removed"}
        assert max(len(value) for value in at.positions.values.values()) < 5_000
        assert sum(len(value) for value in at.positions.values.values()) > 5_000 * 8


async def test_a_store_that_goes_away_is_told(tmp_path: Path) -> None:
    at = Folder(tmp_path)
    async with at.read() as reader:
        (tmp_path / "photos").rename(tmp_path / "elsewhere")
        with pytest.raises((SourceMisconfigured, SourceAway)):
            raise await reader.failure() or AssertionError


async def test_without_a_store_looking_is_refused_and_waiting_is_not() -> None:
    with pytest.raises(SourceMisconfigured, match="pollSeconds needs an object store"):
        open_source(photos(**QUICK), world())
    async with reading(open_source, photos(), world()) as reader:
        assert await reader.quiet(0.05)


async def test_an_entry_that_is_no_object_does_not_keep_back_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    at = Folder(tmp_path)
    (tmp_path / "photos" / "loop").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "self").symlink_to("self")
    (tmp_path / "photos" / "nowhere").symlink_to("gone")
    (tmp_path / "linked").mkdir()
    (tmp_path / "photos" / "being-written#1").touch()
    (tmp_path / "photos" / "year#1").mkdir()
    (tmp_path / "photos" / "album").symlink_to(tmp_path / "linked")
    (tmp_path / "photos" / os.fsdecode(b"\xff.png")).touch()
    async with at.read() as reader:
        (tmp_path / "linked" / AWKWARD.replace("/", "-")).touch()
        (tmp_path / "photos" / "being-written#2").touch()
        (tmp_path / "photos" / "year#1" / "a").touch()
        at.photos.put("b", b"1")
        seen = sorted(told(await reader.take(3)))
        assert await reader.quiet(1.0)
    album = f"album/{AWKWARD.replace('/', '-')}"
    assert seen == [("created", album), ("created", "b"), ("created", "year#1/a")]
    passed_over = [each for each in caplog.messages if each == "a file is passed over"]
    assert len(passed_over) == 3


@pytest.mark.parametrize("bucket", ["../../../etc", "..", "a/b", "-a"])
def test_a_bucket_that_is_no_name_is_refused(bucket: str) -> None:
    with pytest.raises(SourceMisconfigured, match="no bucket's name"):
        open_source(photos(bucket=bucket), world())
