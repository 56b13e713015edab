"""However workers are interleaved, killed and their store damaged: what counts is whole, what was
committed stays, and the work ends."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from torpor.checkpoint import Checkpoint, Patience, Store, StoreAway, Unit
from torpor.checkpoint.folder import Folder

UNITS = [Unit(f"{number:02d}") for number in range(4)]


class Fate(Enum):
    """What becomes of a write."""

    DONE = "done"
    NOT_DONE = "the store is away"
    ANSWER_LOST = "done, but the writer does not learn it"


class Fateful(Folder):
    """A folder whose writes meet fates in turn, and then all succeed."""

    def __init__(self, root: Path, fates: Iterator[Fate]) -> None:
        super().__init__(root)
        self._fates = fates

    def put(self, key: str, content: bytes) -> None:
        with self._fate():
            super().put(key, content)

    def put_new(self, key: str, content: bytes) -> bool:
        with self._fate():
            return super().put_new(key, content)

    @contextmanager
    def _fate(self) -> Iterator[None]:
        fate = next(self._fates, Fate.DONE)
        if fate is Fate.NOT_DONE:
            raise StoreAway("away")
        yield
        if fate is Fate.ANSWER_LOST:
            raise StoreAway("lost")


def work_on(work: Checkpoint, unit: Unit, worker: int) -> None:
    """What a worker does with a unit: its bytes are its own, as from an encoder that varies."""
    with work.claim(unit) as claim:
        claim.commit(f"{unit.name} by {worker}".encode(), worker=worker)


STEPS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(UNITS)), max_size=12)
FATES = st.lists(st.sampled_from(Fate), max_size=30)


@settings(max_examples=40)
@given(STEPS, FATES, st.integers(0, 2))
def test_what_counts_is_whole_and_stays(
    steps: list[tuple[int, Unit]], fates: list[Fate], tries: int
) -> None:
    """Without patience a worker ends at the first failure; with some, the write is repeated."""
    with tempfile.TemporaryDirectory() as folder:
        left = [1]
        patience = Patience(
            tries, pause=lambda seconds: left.append(1), clock=lambda: len(left) - 1
        )
        store = Store(folder, Fateful(Path(folder), iter(fates)), patience)
        workers = [Checkpoint(store, "w", attempt=number + 1) for number in range(3)]
        judge = Checkpoint(Store.open(folder), "w")
        before = judge.committed(UNITS)
        for worker, unit in steps:
            try:
                work_on(workers[worker], unit, worker)
            except StoreAway:
                pass
            else:
                assert unit in judge.committed(UNITS)
            now = judge.committed(UNITS)
            assert before.items() <= now.items()
            for record in now.values():
                assert judge.read(record) == (
                    f"{record.unit.name} by {record.facts['worker']}".encode()
                )
            before = now
        for unit in judge.remaining(UNITS):
            work_on(judge, unit, 9)
        assert list(judge.committed(UNITS)) == UNITS


@settings(max_examples=40)
@given(FATES, st.integers(1, 4))
def test_planners_that_race_agree(fates: list[Fate], planners: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder, Fateful(Path(folder), iter(fates)), Patience(0))
        for _ in range(planners):
            try:
                Checkpoint(store, "w").plan({"units": 4})
            except StoreAway:
                continue
            assert Checkpoint(Store.open(folder), "w").planned() == {"units": 4}
