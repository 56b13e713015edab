"""The example that adds up a CSV file: killed at random points, its totals are the same bytes."""

from __future__ import annotations

import csv
import json
import os
import runpy
import subprocess
import time
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.chaos.report import Faults
from tests.support.checkpoint_victim import ROOT, ended, kill, output, start
from torpor.checkpoint import Claim, ObjectChanged, Record, Run

KILLS = int(os.environ.get("TORPOR_CHAOS_KILLS", "20"))
PROGRAM = (str(ROOT / "examples/csv-totals/csv_totals.py"),)
MIB = 1 << 20
INPUT = {"group": "city", "sum": "fare", "unitMiB": 1}


@pytest.fixture(scope="module")
def rides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 MiB of lines of all lengths; a few are very long, some are empty."""
    chance, path = Random(7), tmp_path_factory.mktemp("rides") / "rides.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["note", "city", "fare"])
        while file.tell() < 6 * MIB:
            note = "ü, " * chance.randrange(40) if chance.random() < 0.999 else "x" * 200_000
            rows.writerow([note, f"city {chance.randrange(9)}", f"{chance.randrange(10**6) / 100}"])
            if chance.random() < 0.01:
                file.write("\n")
    return path


@pytest.fixture(scope="module")
def expected(rides: Path) -> bytes:
    """The totals, from one pass over the whole file."""
    totals: dict[str, tuple[int, Decimal]] = {}
    with rides.open(newline="") as file:
        csv.field_size_limit(MIB)
        for row in csv.DictReader(file):
            count, total = totals.get(row["city"], (0, Decimal(0)))
            totals[row["city"]] = (count + 1, total + Decimal(row["fare"]))
    lines = [f"{name},{count},{total}\n" for name, (count, total) in sorted(totals.items())]
    return "".join(["city,rows,fare\n", *lines]).encode()


def begin(folder: Path, rides: Path, **environment: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return start(folder, {**INPUT, "source": str(rides)}, environment, PROGRAM)


def totals(folder: Path) -> bytes:
    (found,) = (folder / "store").glob("*/totals.csv")
    return found.read_bytes()


def records(folder: Path) -> dict[str, tuple[int, bytes]]:
    """When each unit was committed, and as what."""
    found = (folder / "store").glob("*/seg/0/??????.json")
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def test_killed_at_random_points_it_makes_the_same_bytes_and_nothing_twice(
    rides: Path, expected: bytes, tmp_path: Path, faults: Faults
) -> None:
    began = time.monotonic()
    assert ended(begin(tmp_path / "whole", rides))[0] == 0
    seconds = time.monotonic() - began
    assert totals(tmp_path / "whole") == expected
    chance, kills, works = Random(11), 0, 0
    while kills < KILLS:
        works += 1
        folder, before = tmp_path / f"work-{works}", dict[str, tuple[int, bytes]]()
        while True:
            program = begin(folder, rides)
            try:
                program.wait(chance.uniform(0.1, seconds * 0.7))
            except subprocess.TimeoutExpired:
                kills += 1
            kill(program)
            now = records(folder)
            assert before.items() <= now.items()
            before = now
            if program.returncode == 0:
                break
        assert totals(folder) == expected
    lost = f"no unit that was committed; the same bytes {works} times"
    faults.add("csv-totals killed at random points", kills, lost)


@pytest.mark.parametrize("indexes", [("0", "1"), ("0", "0")])
def test_two_at_once_make_the_same_bytes(
    rides: Path, expected: bytes, tmp_path: Path, indexes: tuple[str, ...], faults: Faults
) -> None:
    """Two indexes that share the units, and one index that was started twice."""
    told = {"TORPOR_COMPLETIONS": str(len(set(indexes)))}
    programs = [begin(tmp_path, rides, JOB_COMPLETION_INDEX=index, **told) for index in indexes]
    assert [ended(program)[0] for program in programs] == [0, 0]
    assert totals(tmp_path) == expected
    faults.add(f"csv-totals started twice, as indexes {indexes}", 1, "nothing: the same bytes")


@pytest.mark.parametrize("harm", ["removed", "damaged"])
def test_a_unit_lost_by_an_index_that_has_ended_is_made_by_the_last(
    rides: Path, expected: bytes, tmp_path: Path, harm: str, faults: Faults
) -> None:
    told = {"TORPOR_COMPLETIONS": "2"}
    assert ended(begin(tmp_path, rides, JOB_COMPLETION_INDEX="0", **told))[0] == 0
    assert output(tmp_path) == {"waitsFor": "the other indexes"}
    lost = next((tmp_path / "store").glob("*/seg/0/000001-*"))
    lost.unlink() if harm == "removed" else lost.write_bytes(bytes(lost.stat().st_size))
    assert ended(begin(tmp_path, rides, JOB_COMPLETION_INDEX="1", **told))[0] == 0
    assert totals(tmp_path) == expected
    faults.add(f"a committed unit {harm}", 1, "nothing: the last index made it again")


def test_a_source_that_is_replaced_meanwhile_is_never_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: Faults
) -> None:
    source, commit = tmp_path / "rides.csv", Claim.commit
    source.write_text("city,fare\n" + "a,1\n" * 600_000)

    def replacing(claim: Claim, content: bytes, suffix: str) -> Record:
        (tmp_path / "new").write_text("city,fare\n" + "a,5\n" * 600_000)
        (tmp_path / "new").replace(source)
        return commit(claim, content, suffix)

    (tmp_path / "input").write_text(json.dumps({**INPUT, "source": str(source)}))
    run = Run(input_path=tmp_path / "input", store_url=str(tmp_path / "store"))
    with monkeypatch.context() as patched:
        patched.setattr("torpor.checkpoint.run", lambda main: None)
        main = runpy.run_path(PROGRAM[0])["main"]
    with monkeypatch.context() as patched:
        patched.setattr(Claim, "commit", replacing)
        with pytest.raises(ObjectChanged):
            main(run)
    main(run)
    assert totals(tmp_path) == b"city,rows,fare\na,600000,3000000\n"
    faults.add("a source replaced while it is read", 1, "the attempt; old and new are not mixed")


@pytest.mark.parametrize(
    ("text", "given", "says"),
    [
        ("city,fare\na,1\n", {"sum": "price"}, "no column 'price'; there are city, fare"),
        ("city,fare\na,one\n", {}, "no number in the line 'a,one'"),
        ("city,fare\na\n", {}, "no number in the line 'a'"),
        ("", {}, "no column 'city'"),
        ("city,fare\n\udcff,1\n", {}, "not UTF-8"),
        ("city,fare\na,1\n", {"source": "nothing.csv"}, "no such file"),
        ("city,fare\na,1\n", {"source": 7}, "the input must be"),
        ("city,fare\na,1\n", {"unitMiB": 0}, "from 1 to 1024"),
    ],
)
def test_bad_input_is_told_and_not_tried_again(
    tmp_path: Path, text: str, given: dict[str, Any], says: str, faults: Faults
) -> None:
    source = tmp_path / "rides.csv"
    source.write_text(text, errors="surrogateescape")
    program = start(tmp_path, {**INPUT, "source": str(source), **given}, {}, PROGRAM)
    assert ended(program)[0] == 64
    assert says in output(tmp_path)["error"]
    faults.add(f"wrong input: {says}", 1, "no attempt: it is not tried again")
