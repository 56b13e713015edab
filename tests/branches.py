"""`make coverage`: how many branches of each pure room the unit and property tests take.

What is pure decides, so each of its branches is a promise to somebody: a room below the bar is
printed with the lines that no test reaches, and the run fails. Only the suites that are about
these rooms run, so that a look costs two minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = Path("operator/torpor")
BAR_PERCENT = 95.0
LONGEST_SECONDS = 900
UNIT = (
    "aws",
    "crds",
    "functions",
    "gateway",
    "resources",
    "scaling",
    "telemetry",
    "triggers",
    "workflows/asl",
)
SUITES = (*(f"tests/unit/{name}" for name in UNIT), "tests/property")


@dataclass(frozen=True, slots=True)
class Room:
    """Packages and modules below `torpor` that decide together, by their dotted names."""

    name: str
    parts: tuple[str, ...]

    def files(self) -> Iterator[str]:
        """Yield the files, relative to the root of the tree."""
        for part in self.parts:
            place = ROOT.joinpath(PACKAGE, *part.split("."))
            found = place.rglob("*.py") if place.is_dir() else (place.with_suffix(".py"),)
            yield from (str(path.relative_to(ROOT)) for path in found)


def parts(package: str, *modules: str) -> tuple[str, ...]:
    """Return the dotted names of some modules of a package."""
    return tuple(f"{package}.{module}" for module in modules)


FUNCTIONS = parts(
    "functions",
    "cold_starts",
    "decisions",
    "desired",
    "mounts",
    "placement",
    "pod_template",
    "status",
)
GATEWAY = (
    *parts("gateway", "adoption", "announcements", "coldstart", "division", "homes", "http_table"),
    *parts("gateway", "heldspans", "needs", "pace", "releasing", "routes", "terms"),
    *parts("gateway.lambda_api", "memory", "names"),
)
ROOMS = (
    Room("resources", ("resources",)),
    Room("scaling", ("scaling",)),
    Room("functions", FUNCTIONS),
    Room("gateway", GATEWAY),
    Room("expressions", ("expressions",)),
    Room("asl", ("workflows.asl",)),
    Room("filter", ("triggers.filter",)),
    Room("event", ("triggers.event",)),
    Room("transform", ("triggers.transform",)),
    Room("cost", ("telemetry.cost",)),
)


@dataclass(frozen=True, slots=True)
class Covered:
    """How many branches a room has, how many were taken, and where the others begin."""

    branches: int
    taken: int
    missed: tuple[str, ...]

    @property
    def percent(self) -> float:
        """Taken branches of a hundred; all of none."""
        return 100.0 * self.taken / self.branches if self.branches else 100.0


def main() -> int:
    """Print a line a room; 1 if the tests fail or a room is below the bar."""
    with tempfile.TemporaryDirectory() as folder:
        files = measured(Path(folder))
    if files is None:
        return 1
    results = {room.name: covered(room, files) for room in ROOMS}
    for name, result in results.items():
        print(f"{name:12} {result.percent:6.2f} % of {result.branches} branches")
    low = {name: result for name, result in results.items() if result.percent < BAR_PERCENT}
    for name, result in low.items():
        print(f"\n{name} is below {BAR_PERCENT:g} %; no test takes", *result.missed, sep="\n  ")
    return 1 if low else 0


def measured(folder: Path) -> Mapping[str, object] | None:
    """Run the suites; return what coverage says of each file, None when a test failed."""
    data, told = folder / "data", folder / "told.json"
    environment = {**os.environ, "COVERAGE_FILE": str(data)}
    source = ",".join(f"torpor.{part}" for room in ROOMS for part in room.parts)
    pytest = ("pytest", "-q", "--no-header", "-p", "no:cacheprovider", *SUITES)
    for arguments in (
        ("run", f"--source={source}", "-m", *pytest),
        ("json", "-q", "-o", str(told)),
    ):
        command = (sys.executable, "-m", "coverage", *arguments)
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, timeout=LONGEST_SECONDS, check=False
        )
        if ended.returncode:
            return None
    files: Mapping[str, object] = json.loads(told.read_text())["files"]
    return files


def covered(room: Room, files: Mapping[str, object]) -> Covered:
    """Return what the room's files come to; one that no test imports is a missed branch."""
    branches, taken = 0, 0
    missed: list[str] = []
    for file in sorted(room.files()):
        found = files.get(file)
        if not isinstance(found, dict):
            branches += 1
            missed.append(f"{file}: no test imports it")
            continue
        summary = found["summary"]
        branches += summary["num_branches"]
        taken += summary["covered_branches"]
        missed += [f"{file}:{begin} -> {end}" for begin, end in found["missing_branches"]]
    return Covered(branches, taken, tuple(missed))


if __name__ == "__main__":
    sys.exit(main())
