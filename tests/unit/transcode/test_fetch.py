"""Having the source: local files as they are, remote ones whole, of one version, or a reason."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from torpor.checkpoint import BadInput, Run, Stopped
from torpor.transcode.fetch import NoRoom, fetch, public_url
from torpor.transcode.places import SOURCES, Reach
from torpor.transcode.preparing import work_key
from torpor.transcode.request import Request

CONTENT = bytes(range(256)) * 4000


@dataclass
class Origin:
    """What the server does: each answer sends at most `most_bytes`, after so many 503."""

    url: str
    etag: str = '"v1"'
    most_bytes: int = len(CONTENT)
    away: int = 0
    status: int = 200
    leads_to: str = ""
    tells_length: bool = True
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def origin() -> Iterator[Origin]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.headers["Range"])
            if made.leads_to and self.path == "/a.mp4":
                self.send_response(302)
                self.send_header("Location", made.leads_to)
                self.end_headers()
                return
            if made.away > 0 or made.status != 200:
                made.away -= 1
                self.send_error(503 if made.status == 200 else made.status)
                return
            known = self.headers["If-Range"] == made.etag
            begin = int(self.headers["Range"][6:-1]) if self.headers["Range"] and known else 0
            self.send_response(206 if begin else 200)
            self.send_header("ETag", made.etag)
            if made.tells_length:
                self.send_header("Content-Length", str(len(CONTENT) - begin))
            self.end_headers()
            sent = CONTENT.replace(b"\0", b"\1") if self.path.endswith("?id=2") else CONTENT
            self.wfile.write(sent[begin : begin + made.most_bytes])

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Origin(f"http://127.0.0.1:{server.server_port}/a.mp4")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def test_a_local_file_is_used_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a b%20.mp4"
    path.write_bytes(CONTENT)
    for url in (str(path), path.as_uri()):
        fetched = fetch(url, tmp_path, Run())
        assert (fetched.path, fetched.size_bytes) == (path, len(CONTENT))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("{}/none.mp4", "there is no file"),
        ("{}", "is a folder"),
        ("/dev/null", "is not a file"),
        ("ftp://host/a.mp4", "give a file, or an http, https, s3, gs or az URL"),
        ("concat:a|b", "there is no file"),
        ("s3://bucket", "names no object"),
        ("http://no-such-host.invalid/a", "names no known host"),
        ("http:///a.mp4", "names no host"),
        ("http://[/a.mp4", "no address"),
    ],
)
def test_what_is_no_source_is_bad_input(tmp_path: Path, url: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        fetch(url.format(tmp_path), tmp_path, Run())


def test_a_download_that_breaks_goes_on_where_it_was(tmp_path: Path, origin: Origin) -> None:
    origin.most_bytes = len(CONTENT) // 2 + 1
    fetched = fetch(f"{origin.url}?signature=secret", tmp_path, Run())
    assert fetched.path.read_bytes() == CONTENT
    assert origin.asked == [None, f"bytes={origin.most_bytes}-"]
    assert (fetched.url, fetched.sha256) == (origin.url, hashlib.sha256(CONTENT).hexdigest())


def test_a_source_that_changed_meanwhile_is_fetched_anew(tmp_path: Path, origin: Origin) -> None:
    origin.etag = 'W/"weak"'
    origin.most_bytes = len(CONTENT) - 1
    threading.Timer(0.3, lambda: setattr(origin, "most_bytes", len(CONTENT))).start()
    assert fetch(origin.url, tmp_path, Run()).path.read_bytes() == CONTENT
    assert set(origin.asked) == {None}


def test_a_server_that_is_away_is_waited_for(tmp_path: Path, origin: Origin) -> None:
    origin.away = 1
    assert fetch(origin.url, tmp_path, Run()).size_bytes == len(CONTENT)


def test_what_differs_by_its_query_alone_is_other_work(tmp_path: Path, origin: Origin) -> None:
    request = Request("s3://is/replaced")
    keys = {
        work_key(request, fetch(f"{origin.url}?{query}", tmp_path, Run()))
        for query in ("id=1", "id=2", "id=1&signature=other")
    }
    assert len(keys) == 2


def test_a_copy_of_a_file_is_the_same_work(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(CONTENT)
    before = fetch(str(path), tmp_path, Run())
    os.utime(path, (1, 1))
    assert fetch(str(path), tmp_path, Run()) == before


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(BadInput, match="is not a file"):
        fetch(str(tmp_path / "a.mp4"), tmp_path, Run())


@pytest.mark.parametrize("leads_to", ["ftp://127.0.0.1:1/x", "file:///etc/passwd"])
def test_a_server_leads_to_no_other_protocol(tmp_path: Path, origin: Origin, leads_to: str) -> None:
    origin.leads_to = leads_to
    with pytest.raises(BadInput, match="the source cannot be had"):
        fetch(origin.url, tmp_path, Run())


def test_a_server_leads_to_no_place_that_is_not_allowed(tmp_path: Path, origin: Origin) -> None:
    origin.leads_to = origin.url.replace("a.mp4", "b.mp4")
    allowed = Reach.named(SOURCES, {SOURCES: f"{origin.url} s3://media"})
    with pytest.raises(BadInput, match=r"b\.mp4 is none of the places that TORPOR_SOURCES"):
        fetch(origin.url, tmp_path, Run(), allowed)
    assert len(origin.asked) == 1
    assert fetch(origin.url, tmp_path, Run()).size_bytes == len(CONTENT)


def test_a_source_without_an_end_does_not_fill_the_disk(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.tells_length = False
    monkeypatch.setattr("torpor.transcode.fetch._ROOM_BYTES", 1)
    full = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    looks = iter((shutil.disk_usage(tmp_path), full))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: next(looks))
    with pytest.raises(NoRoom, match="does not end"):
        fetch(origin.url, tmp_path, Run())


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_bad_input_without_secrets(
    tmp_path: Path, origin: Origin, status: int
) -> None:
    origin.status = status
    with pytest.raises(BadInput, match=f"answers {status}") as caught:
        fetch(f"{origin.url}?signature=secret", tmp_path, Run())
    assert "secret" not in str(caught.value)
    assert len(origin.asked) == 1


def test_stopping_ends_a_download(tmp_path: Path, origin: Origin) -> None:
    run = Run()
    run.stop.request()
    with pytest.raises(Stopped):
        fetch(origin.url, tmp_path, run)


def test_a_public_url_has_neither_user_nor_query() -> None:
    assert public_url("https://me:pw@host:8443/a/b.mp4?sig=1#x") == "https://host:8443/a/b.mp4"
