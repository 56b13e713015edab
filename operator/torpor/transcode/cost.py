"""What a variant cost: the time of the machine that made it, at prices that have a date."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib import resources
from math import inf
from pathlib import Path

from torpor.checkpoint import BadInput
from torpor.transcode.document import UnreadableDocument, from_json

_HOUR_SECONDS = 3600
_GIB = 1 << 30
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Prices:
    """Of an hour of each, in one currency, and when (and where) they held."""

    as_of: str
    currency: str
    note: str
    vcpu_hour: float
    gib_hour: float
    gpu_hour: float


@dataclass(frozen=True, slots=True)
class Size:
    """What a worker has, whether it uses it or not: a pod is paid for as a whole."""

    vcpus: float
    memory_gib: float
    gpus: int

    def cost(self, seconds: float, prices: Prices) -> float:
        """Return what so many seconds of it cost."""
        hourly = (
            self.vcpus * prices.vcpu_hour
            + self.memory_gib * prices.gib_hour
            + self.gpus * prices.gpu_hour
        )
        return seconds * hourly / _HOUR_SECONDS


def read_prices(path: Path | None) -> Prices:
    """Return the prices in a file, or those that come with Torpor; BadInput says what is wrong."""
    try:
        text = path.read_text() if path else _shipped()
        prices = from_json(Prices, json.loads(text))
    except (OSError, ValueError, UnreadableDocument) as error:
        names = "asOf, currency, note, vcpuHour, gibHour and gpuHour"
        raise BadInput(f"{path} cannot be read as prices, which are {names}: {error}") from error
    if not all(0 <= each < inf for each in (prices.vcpu_hour, prices.gib_hour, prices.gpu_hour)):
        raise BadInput(f"{path} has a price below 0, or one that is no number")
    return prices


def own_size(gpus: int = 0, cgroup: Path = _CGROUP) -> Size:
    """Return what this process has: its container's limits, else the machine's."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _limit(cgroup / "memory.max")
    vcpus = float(len(os.sched_getaffinity(0)))
    quota = _limit(cgroup / "cpu.max")
    period = _limit(cgroup / "cpu.max", 1)
    if quota and period:
        vcpus = min(vcpus, quota / period)
    return Size(round(vcpus, 3), round(min(limit or memory, memory) / _GIB, 3), gpus)


def _shipped() -> str:
    return resources.files("torpor.transcode").joinpath("prices.json").read_text()


def _limit(path: Path, word: int = 0) -> int | None:
    """Return one number of a cgroup's file; None where it says `max`, or where there is none."""
    try:
        return int(path.read_text().split()[word])
    except (OSError, ValueError, IndexError):
        return None
