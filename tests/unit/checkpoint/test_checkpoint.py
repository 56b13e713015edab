"""What counts as done: units whose record and whole object are there, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from torpor.checkpoint import (
    Checkpoint,
    CheckpointError,
    NoStore,
    ObjectMissing,
    PlanDiffers,
    Stop,
    Stopped,
    Store,
    StoreRefused,
    Unit,
    UnitDamaged,
)

UNITS = [Unit(f"h264/{number:05d}", "abc") for number in range(7)]


@pytest.fixture
def work(tmp_path: Path) -> Checkpoint:
    return Checkpoint(Store.open(str(tmp_path / "store")), "runs/1")


def commit(work: Checkpoint, unit: Unit, content: bytes = b"content", **facts: object) -> Path:
    """Commit a unit and return where its object is."""
    with work.claim(unit) as claim:
        record = claim.commit(content, ".bin", **facts)
    return Path(work.store.url_of(work.key(record.object)))


def test_a_committed_unit_is_found_with_its_facts(work: Checkpoint) -> None:
    commit(work, UNITS[1], b"first", frames=48)
    (record,) = work.committed(UNITS).values()
    assert (record.unit, record.size_bytes, record.attempt) == (UNITS[1], 5, 1)
    assert record.facts == {"frames": 48}
    assert record.object == f"seg/abc/h264/00001-{record.sha256[:8]}.bin"
    assert work.read(record) == b"first"


def test_a_file_is_committed_under_its_suffix(work: Checkpoint, tmp_path: Path) -> None:
    made = tmp_path / "made.mp4"
    made.write_bytes(b"frames")
    with work.claim(UNITS[0]) as claim:
        record = claim.commit(made)
    work.fetch(record, tmp_path / "fetched.mp4")
    assert record.object.endswith(".mp4")
    assert (tmp_path / "fetched.mp4").read_bytes() == b"frames"


def test_what_was_claimed_only_is_not_there(work: Checkpoint) -> None:
    with pytest.raises(ZeroDivisionError), work.claim(UNITS[0]):
        raise ZeroDivisionError
    assert work.store.list() == []


def test_a_claim_commits_once_and_inside_its_block(work: Checkpoint) -> None:
    with work.claim(UNITS[0]) as claim:
        claim.commit(b"1")
        with pytest.raises(CheckpointError, match="claim it again"):
            claim.commit(b"2")
    with work.claim(UNITS[1]) as late:
        pass
    with pytest.raises(CheckpointError, match="claim it again"):
        late.commit(b"3")
    assert list(work.committed(UNITS)) == [UNITS[0]]


def test_facts_that_are_no_json_commit_nothing(work: Checkpoint) -> None:
    for fact in (object(), float("nan")):
        with pytest.raises((TypeError, ValueError)), work.claim(UNITS[0]) as claim:
            claim.commit(b"1", fact=fact)
    assert work.store.list() == []


def test_an_object_without_a_record_does_not_count(work: Checkpoint) -> None:
    commit(work, UNITS[0])
    work.store.delete(work.key(UNITS[0].record))
    assert work.committed(UNITS) == {}
    assert work.remaining(UNITS) == UNITS


@pytest.mark.parametrize("content", [b"conten", b"content and more", None])
def test_a_record_of_another_size_or_of_nothing_does_not_count(
    work: Checkpoint, content: bytes | None
) -> None:
    at = commit(work, UNITS[0])
    at.unlink() if content is None else at.write_bytes(content)
    assert work.committed(UNITS) == {}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"unit": "h264/00000"}', b"\xff", b'"text"', b"[" * 100_000],
)
def test_a_record_that_is_none_does_not_count_and_is_replaced(
    work: Checkpoint, content: bytes
) -> None:
    work.store.put(work.key(UNITS[0].record), content)
    assert work.committed(UNITS) == {}
    commit(work, UNITS[0])
    assert list(work.committed(UNITS)) == [UNITS[0]]


def test_a_record_speaks_for_its_own_unit_alone(work: Checkpoint) -> None:
    commit(work, UNITS[0])
    kept = work.store.get(work.key(UNITS[0].record))
    work.store.put(work.key(UNITS[1].record), kept)
    other = {**json.loads(kept), "unit": UNITS[2].name, "object": "../../secret"}
    work.store.put(work.key(UNITS[2].record), json.dumps(other).encode())
    assert list(work.committed(UNITS)) == [UNITS[0]]


def test_who_commits_second_is_given_the_first_record(work: Checkpoint) -> None:
    other = Checkpoint(work.store, work.prefix, attempt=2)
    with work.claim(UNITS[0]) as mine, other.claim(UNITS[0]) as theirs:
        first = theirs.commit(b"theirs")
        second = mine.commit(b"mine, not the same bytes")
    assert second == first
    assert work.committed(UNITS) == {UNITS[0]: first}
    assert work.read(first) == b"theirs"


def test_a_commit_replaces_a_record_whose_object_is_gone(work: Checkpoint) -> None:
    commit(work, UNITS[0], b"lost").unlink()
    commit(work, UNITS[0], b"made anew")
    (record,) = work.committed(UNITS).values()
    assert work.read(record) == b"made anew"


@pytest.mark.parametrize("damage", [b"CONTENT", b"short", None])
def test_damaged_bytes_are_never_handed_out_and_the_unit_is_made_anew(
    work: Checkpoint, damage: bytes | None, tmp_path: Path
) -> None:
    for number, unit in enumerate(UNITS[:2]):
        at = commit(work, unit, b"content")
        record = work.committed(UNITS)[unit]
        at.unlink() if damage is None else at.write_bytes(damage)
        with pytest.raises(UnitDamaged, match="made anew"):
            work.fetch(record, tmp_path / "got") if number else work.read(record)
    assert not (tmp_path / "got").exists()
    assert work.remaining(UNITS) == UNITS


def test_other_arguments_are_other_units(work: Checkpoint) -> None:
    commit(work, UNITS[0])
    changed = [Unit(unit.name, "def") for unit in UNITS]
    assert work.remaining(changed) == changed


def test_no_unit_is_claimed_after_a_stop(work: Checkpoint) -> None:
    stop = Stop()
    stopping = Checkpoint(work.store, work.prefix, stop=stop)
    with stopping.claim(UNITS[0]) as claim:
        stop.request()
        claim.commit(b"the one in hand is finished")
    with pytest.raises(Stopped), stopping.claim(UNITS[1]):
        pass
    assert list(work.committed(UNITS)) == [UNITS[0]]


def test_the_first_plan_is_the_plan(work: Checkpoint) -> None:
    assert work.planned() is None
    assert work.plan({"units": 3, "source": "a"}) == {"units": 3, "source": "a"}
    assert work.plan({"source": "a", "units": 3}) == {"units": 3, "source": "a"}
    with pytest.raises(PlanDiffers, match=r"differs in source, units.*prefix of its own"):
        work.plan({"source": "b", "units": 4})
    assert work.planned() == {"units": 3, "source": "a"}


def test_it_is_done_once(work: Checkpoint) -> None:
    assert work.finished() is None
    assert work.done({"by": "one"}) == {"by": "one"}
    assert work.done({"by": "two"}) == {"by": "one"}
    assert work.finished() == {"by": "one"}


def test_a_document_that_is_none_is_told(work: Checkpoint) -> None:
    work.store.put(work.key("plan.json"), b"{")
    with pytest.raises(CheckpointError, match="remove it"):
        work.plan({})


def test_files_being_written_are_not_listed_and_old_ones_are_removed(tmp_path: Path) -> None:
    staging = tmp_path / ".staging"
    staging.mkdir()
    old, new = staging / "old", staging / "new"
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (0, 0))
    store = Store.open(str(tmp_path))
    assert store.list() == []
    assert (old.exists(), new.exists()) == (False, True)
    with pytest.raises(ObjectMissing):
        store.get("new")


def test_a_folder_is_made_when_something_is_written(tmp_path: Path) -> None:
    store = Store.open(f"file://{tmp_path}/with%20space/deep")
    assert store.list() == []
    assert not (tmp_path / "with space").exists()
    store.put("key", b"1")
    assert (tmp_path / "with space/deep/key").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("", "0"),
        ("../x", "0"),
        ("a//b", "0"),
        ("/a", "0"),
        (".hidden", "0"),
        ("a b", "0"),
        ("a-0123abcd", "0"),
        ("a" * 201, "0"),
        ("a", ""),
        ("a", "a/b"),
    ],
)
def test_what_cannot_name_a_unit_is_refused(name: str, args: str) -> None:
    with pytest.raises(ValueError, match=r"cannot|choose another"):
        Unit(name, args)


def test_what_is_too_large_for_memory_is_refused(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    with (tmp_path / "large").open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(StoreRefused, match="download it"):
        store.get("large")
    assert store.get_range(store.stat("large"), 64 << 20, 2 << 20) == bytes(1 << 20)


@pytest.mark.parametrize("url", ["s3:bucket", "s3:/bucket/out", "file:/tmp/x", "x+y:/z", "ftp://x"])
def test_an_address_that_lacks_a_slash_is_no_folder(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoStore, match="no address of a store"):
        Store.open(url)
    assert Store.open(f"./{url.replace('//', '')}").list() == []


def test_a_document_names_files_whose_names_are_no_utf_8(work: Checkpoint) -> None:
    plan = {"source": os.fsdecode(b"bad\xff.mp4")}
    assert work.plan(plan) == plan
    assert work.plan(plan) == work.planned() == plan
