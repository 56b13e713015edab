"""The rows of HAProxy's `show stat` that the driver reads. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torpor.gateway.dataplane.haproxy.layout import AGAIN

_BACKEND_ROW = "BACKEND"
_CURRENT = re.compile(r"^CurrConns: (\d+)$", re.MULTILINE)
_TAKES_REQUESTS = ("UP", "no check")


@dataclass(frozen=True, slots=True)
class BackendStats:
    """One backend: requests in its queue, in it (queued or not), ever.

    `in_flight` is by server name and counts the backup server too; `usable` is whether any other
    server takes requests. (The column `act` would not say: it counts a backup server in use.)
    """

    queued: int
    current: int
    total: int
    usable: bool
    in_flight: Mapping[str, int]


def command(backend: str) -> str:
    """Return the command that shows one backend and its servers (and not the whole table)."""
    return f"show stat {backend} 6 -1"


def parse(answer: str) -> BackendStats | None:
    """Return what `show stat` in CSV says about one backend; None if it is not in the answer."""
    head, _, body = answer.partition("\n")
    columns = {name: index for index, name in enumerate(head.removeprefix("# ").split(","))}
    in_flight: dict[str, int] = {}
    usable = False
    found: BackendStats | None = None
    for line in body.splitlines():
        row = line.split(",")
        if len(row) < len(columns) - 1:
            continue
        current = int(row[columns["scur"]] or 0)
        if row[1] != _BACKEND_ROW:
            in_flight[row[1]] = current
            up = row[columns["status"]].startswith(_TAKES_REQUESTS)
            usable = usable or (up and row[1] != AGAIN)
            continue
        found = BackendStats(
            queued=int(row[columns["qcur"]] or 0),
            current=current,
            total=int(row[columns["stot"]] or 0),
            usable=usable,
            in_flight=in_flight,
        )
    return found


def connections(answer: str) -> int:
    """Return how many connections a door has by what `show stat` says of its frontend."""
    head, _, row = answer.partition("\n")
    columns = head.removeprefix("# ").split(",")
    return int(row.split(",")[columns.index("scur")])


def all_connections(answer: str) -> int:
    """Return how many connections HAProxy has by what `show info` says."""
    found = _CURRENT.search(answer)
    return int(found[1]) if found else 0
