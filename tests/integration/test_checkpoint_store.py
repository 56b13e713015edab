"""The stores that checkpoints are in: a real S3 server and a folder, and what goes wrong there."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.checkpoint_store import QUICK, Buckets, s3_buckets
from tests.support.servers.daemon import free_port
from tests.support.servers.gate import Answer, Gate, LostAnswer, Silence, gate_to
from tests.support.servers.versitygw import needs_versitygw
from torpor.checkpoint import (
    ObjectChanged,
    ObjectMissing,
    Patience,
    Stop,
    Stopped,
    Store,
    StoreAway,
    StoreRefused,
)

AWKWARD = "a b/grüße+1 & 2%20.txt"
MIB = 1 << 20


@pytest.fixture(scope="module")
def buckets() -> Iterator[Buckets]:
    with s3_buckets() as found:
        yield found


@pytest.fixture
def gate(buckets: Buckets) -> Iterator[Gate]:
    with gate_to(buckets.server.url) as found:
        yield found


@pytest.fixture(params=["s3", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Store.open(str(tmp_path / "store"))
    request.applymarker(needs_versitygw)
    found: Buckets = request.getfixturevalue("buckets")
    return found.store()


pytestmark = needs_versitygw


def test_an_object_is_what_was_written_last(store: Store) -> None:
    store.put("a/b.json", b"first")
    store.put("a/b.json", b"second")
    assert store.get("a/b.json") == b"second"
    assert store.stat("a/b.json").size_bytes == 6
    entry = store.stat("a/b.json")
    assert store.get_range(entry, 2, 3) == b"con"
    assert store.get_range(entry, 4, 100) == b"nd"
    assert store.get_range(entry, 60, 1) == b""


def test_ranges_of_an_object_that_was_replaced_are_not_mixed(store: Store) -> None:
    store.put("rides.csv", b"first")
    entry = store.stat("rides.csv")
    assert store.get_range(entry, 0, 2) == b"fi"
    store.put("rides.csv", b"other")
    with pytest.raises(ObjectChanged, match=r"rides\.csv was replaced"):
        store.get_range(entry, 2, 3)


def test_only_the_first_writes_a_new_object(store: Store) -> None:
    wrote = [store.put_new("plan.json", content) for content in (b"one", b"two")]
    assert (wrote, store.get("plan.json")) == ([True, False], b"one")


def test_of_many_at_once_one_writes_a_new_object(store: Store) -> None:
    wrote: list[int] = []

    def write(number: int) -> None:
        if store.put_new("plan.json", b"%d" % number):
            wrote.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [b"%d" % n for n in wrote] == [store.get("plan.json")]


def test_a_listing_has_what_begins_so(store: Store) -> None:
    for key in ("seg/1/a", "seg/1/b/c", "seg/10/a", "other", AWKWARD):
        store.put(key, b"x" * len(key))
    assert [entry.key for entry in store.list("seg/1/")] == ["seg/1/a", "seg/1/b/c"]
    assert [entry.key for entry in store.list("seg/1")] == ["seg/1/a", "seg/1/b/c", "seg/10/a"]
    assert {entry.key: entry.size_bytes for entry in store.list()}[AWKWARD] == len(AWKWARD)
    assert store.list("nothing/") == []


def test_what_is_removed_is_gone_and_may_be_removed_again(store: Store) -> None:
    store.put("key", b"1")
    store.delete("key")
    store.delete("key")
    assert store.list() == []
    for look in (store.get, store.stat):
        with pytest.raises(ObjectMissing):
            look("key")


@pytest.mark.parametrize("size_bytes", [0, 1, 40 * MIB + 3])
def test_a_file_comes_back_as_it_went(store: Store, size_bytes: int, tmp_path: Path) -> None:
    sent, got = tmp_path / "sent.bin", tmp_path / "got.bin"
    sent.write_bytes(os.urandom(1024) * (size_bytes // 1024) + os.urandom(size_bytes % 1024))
    store.upload(sent, "large.bin")
    assert store.download("large.bin", got).size_bytes == size_bytes
    assert got.read_bytes() == sent.read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*.bin*")) == ["got.bin", "sent.bin"]


def test_a_download_of_nothing_leaves_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing):
        store.download("nothing", tmp_path / "got")
    assert [path.name for path in tmp_path.iterdir() if path.name != "store"] == []


def test_a_file_that_is_not_there_is_not_uploaded(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.upload(tmp_path / "nothing", "key")
    assert store.list() == []


@pytest.mark.parametrize("key", ["../key", "/key", "a//b", "a/./b", ".staging/x"])
def test_no_key_leads_out_of_the_store(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="cannot be the key"):
        store.put(key, b"")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "check the credentials"),
        ({"AWS_ACCESS_KEY_ID": "wrong"}, "check the credentials"),
    ],
)
def test_wrong_credentials_are_told_at_once(
    buckets: Buckets, changed: dict[str, str], says: str
) -> None:
    url, began = buckets.new(), time.monotonic()
    wrong = buckets.store(url, Patience(60), **changed)
    for act in _acts(wrong):
        with pytest.raises(StoreRefused, match=says):
            act()
    assert time.monotonic() - began < 10


def test_a_missing_bucket_is_told_at_once(buckets: Buckets) -> None:
    missing = buckets.store("s3://no-such-bucket/work", Patience(60))
    for act in _acts(missing):
        with pytest.raises(StoreRefused, match="no such bucket"):
            act()


def _acts(store: Store) -> list[Callable[[], object]]:
    return [
        lambda: store.stat("key"),
        lambda: store.get("key"),
        lambda: store.put("key", b""),
        lambda: store.put_new("key", b""),
        lambda: store.list(),
        lambda: store.upload(__file__, "key"),
    ]


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (403, "RequestTimeTooSkewed", "clocks"),
        (403, "AccessDenied", "credentials"),
        (400, "ExpiredToken", "renew"),
        (301, "PermanentRedirect", "AWS_REGION"),
        (507, "XMinioStorageFull", "make room"),
        (501, "NotImplemented", "501 NotImplemented as told"),
    ],
)
def test_a_refusal_says_what_to_do(
    buckets: Buckets, gate: Gate, status: int, code: str, says: str
) -> None:
    store = buckets.store(patience=Patience(60), AWS_ENDPOINT_URL=gate.url)
    gate.rule = lambda method, path: Answer(status, code)
    with pytest.raises(StoreRefused, match=says):
        store.put("key", b"1")


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_store_that_is_away_is_waited_for(buckets: Buckets, gate: Gate, status: int) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            gate.open()

    store = buckets.store(
        patience=Patience(60, pause, chance=lambda: 0.0), AWS_ENDPOINT_URL=gate.url
    )
    gate.rule = lambda method, path: Answer(status, "SlowDown")
    store.put("key", b"1")
    assert pauses == [0.5, 1.0, 2.0, 4.0]
    assert store.get("key") == b"1"


def test_a_store_that_stays_away_is_given_up_with_its_last_word(
    buckets: Buckets, gate: Gate
) -> None:
    store = buckets.store(AWS_ENDPOINT_URL=gate.url)
    gate.rule = lambda method, path: Answer(503, "SlowDown")
    with pytest.raises(StoreAway, match="503 SlowDown"):
        store.put("key", b"1")


def test_a_server_that_is_not_there_is_waited_for(buckets: Buckets) -> None:
    url = buckets.new()
    nowhere = buckets.store(url, AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreAway, match="does not answer"):
        nowhere.put("key", b"1")


def test_a_write_whose_answer_is_lost_is_done_once(buckets: Buckets, gate: Gate) -> None:
    store = buckets.store(patience=Patience(30), AWS_ENDPOINT_URL=gate.url)
    lost = iter([LostAnswer()] * 4)
    gate.rule = lambda method, path: next(lost, None) if method == "PUT" else None
    assert store.put_new("key", b"mine") is False
    assert store.get("key") == b"mine"


def test_an_upload_goes_on_after_a_break(buckets: Buckets, gate: Gate, tmp_path: Path) -> None:
    store = buckets.store(patience=Patience(30), AWS_ENDPOINT_URL=gate.url)
    large = tmp_path / "large"
    large.write_bytes(os.urandom(20 * MIB))
    broken = iter([Answer(503, "SlowDown")] * 6)
    gate.rule = lambda method, path: next(broken, None) if "partNumber=2" in path else None
    store.upload(large, "large")
    assert gate.hindered == 6
    assert store.download("large", tmp_path / "got").size_bytes == 20 * MIB
    assert (tmp_path / "got").read_bytes() == large.read_bytes()


def test_an_object_that_is_replaced_while_it_is_read_is_no_mixture(
    buckets: Buckets, gate: Gate, tmp_path: Path
) -> None:
    url = buckets.new()
    whole, through = buckets.store(url), buckets.store(url, AWS_ENDPOINT_URL=gate.url)
    large = tmp_path / "large"
    large.write_bytes(b"1" * (20 * MIB))
    whole.upload(large, "large")
    reads = iter([False, True])

    def replace(method: str, path: str) -> None:
        if method == "GET" and next(reads, False):
            large.write_bytes(b"2" * (20 * MIB))
            whole.upload(large, "large")

    gate.rule = replace
    with pytest.raises(ObjectChanged):
        through.download("large", tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_a_stopped_run_waits_for_its_store_no_longer_than_its_grace(
    buckets: Buckets, gate: Gate
) -> None:
    stop = Stop(grace_seconds=0.5)
    store = buckets.store(patience=Patience(60, stop.pause), AWS_ENDPOINT_URL=gate.url)
    gate.rule = lambda method, path: Answer(503, "SlowDown")
    threading.Timer(0.2, stop.request).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        store.put("key", b"1")
    assert time.monotonic() - began < 5


def test_other_threads_run_while_a_store_is_silent(buckets: Buckets, gate: Gate) -> None:
    store = buckets.store(AWS_ENDPOINT_URL=gate.url)
    silence = Silence(threading.Event())
    gate.rule = lambda method, path: silence
    ended: list[StoreAway] = []

    def put() -> None:
        try:
            store.put("key", b"1")
        except StoreAway as error:
            ended.append(error)

    waiting = threading.Thread(target=put)
    waiting.start()
    gate.wait_hindered(1)
    assert waiting.is_alive()
    gate.rule = lambda method, path: Answer(503, "SlowDown")
    silence.end.set()
    waiting.join(20)
    assert len(ended) == 1


@pytest.mark.parametrize("url", ["ftp://host/path", "s3://", "s3n://bucket", "", "://"])
def test_what_is_no_address_of_a_store_is_refused(url: str) -> None:
    with pytest.raises(StoreRefused):
        Store.open(url, patience=QUICK)


def test_settings_that_nobody_knows_are_refused() -> None:
    with pytest.raises(StoreRefused, match="bukket"):
        Store.open("s3://bucket", options={"aws_bukket": "x"})
