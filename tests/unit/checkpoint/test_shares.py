"""Several indexes, each of which ends for good: what one of them lost is made by the last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from torpor.checkpoint import Checkpoint, Record, Run, Unit, UnitDamaged

UNITS = [Unit(f"{number:02d}") for number in range(7)]


def runs(store: Path, of: int, name: str = "r1") -> list[Run]:
    return [Run(name, index, of, store_url=str(store)) for index in range(of)]


def made(run: Run, prefix: str = "w") -> list[Unit]:
    """Have an index make all that is left to it, and return that."""
    work, units = run.checkpoint(prefix), list[Unit]()
    while left := run.left(work, UNITS):
        for unit in left:
            with work.claim(unit) as claim:
                claim.commit(unit.name.encode())
        units += left
    return units


def gathered(run: Run, prefix: str = "w") -> dict[Unit, Record] | None:
    return run.gather(run.checkpoint(prefix), UNITS)


@pytest.mark.parametrize("of", [1, 2, 3, 7, 20])
def test_shares_are_runs_that_are_all_of_it(tmp_path: Path, of: int) -> None:
    shares = [made(run) for run in runs(tmp_path, of)]
    assert [unit for share in shares for unit in share] == UNITS
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_last_index_is_given_all_and_the_others_nothing(tmp_path: Path) -> None:
    seen = []
    for run in runs(tmp_path, 3):
        made(run)
        seen.append(gathered(run))
    assert seen[:2] == [None, None]
    assert list(seen[2] or {}) == UNITS


def test_indexes_that_end_at_once_are_both_the_last(tmp_path: Path) -> None:
    both = runs(tmp_path, 2)
    assert [len(made(run)) for run in both] == [3, 4]
    assert [list(gathered(run) or {}) for run in both] == [UNITS, UNITS]


def test_what_an_index_that_has_not_ended_is_missing_is_left_to_it(tmp_path: Path) -> None:
    first, last = runs(tmp_path, 2)
    work = first.checkpoint("w")
    with work.claim(UNITS[0]) as claim:
        claim.commit(b"one of three")
    assert made(last) == UNITS[3:]
    assert gathered(last) is None
    assert made(first) == UNITS[1:3]


def _lose_object(work: Checkpoint, record: Record) -> None:
    work.store.delete(work.key(record.object))


def _lose_both(work: Checkpoint, record: Record) -> None:
    work.store.delete(work.key(record.object))
    work.store.delete(work.key(record.unit.record))


def _damage(work: Checkpoint, record: Record) -> None:
    work.store.put(work.key(record.object), b"XX")
    with pytest.raises(UnitDamaged) as error:
        work.read(record)
    assert error.value.unit == record.unit


LOSSES = [_lose_object, _lose_both, _damage]


@pytest.mark.parametrize("lose", LOSSES)
def test_what_is_lost_of_an_index_that_has_ended_is_made_by_the_last(
    tmp_path: Path, lose: Callable[[Checkpoint, Record], None]
) -> None:
    first, last = runs(tmp_path, 2)
    made(first)
    work = first.checkpoint("w")
    lose(work, work.committed(UNITS)[UNITS[1]])
    assert made(last) == [*UNITS[3:], UNITS[1]]
    assert list(gathered(last) or {}) == UNITS


@pytest.mark.parametrize("lose", LOSSES)
def test_what_is_lost_when_all_have_ended_is_an_error_and_then_made(
    tmp_path: Path, lose: Callable[[Checkpoint, Record], None]
) -> None:
    for run in runs(tmp_path, 2):
        made(run)
    work = run.checkpoint("w")
    lose(work, work.committed(UNITS)[UNITS[1]])
    with pytest.raises(UnitDamaged, match="01 is missing"):
        gathered(run)
    assert made(run) == [UNITS[1]]
    assert list(gathered(run) or {}) == UNITS


def test_an_index_that_sees_another_source_makes_all_of_it(tmp_path: Path) -> None:
    first, last = runs(tmp_path, 2)
    made(first, "of-the-file-before")
    assert gathered(first, "of-the-file-before") is None
    assert sorted(unit.name for unit in made(last)) == [unit.name for unit in UNITS]
    assert len(gathered(last) or {}) == len(UNITS)


def test_another_run_of_the_same_work_waits_for_its_own_indexes(tmp_path: Path) -> None:
    for run in runs(tmp_path, 2):
        made(run)
    again, _ = runs(tmp_path, 2, "r2")
    assert made(again) == []
    assert gathered(again) is None
