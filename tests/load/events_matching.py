"""How many events a second are matched against 100, 1,000 and 10,000 patterns of one stream.

    python -m tests.load.events_matching

The events are of EventBridge's usual size and shape. The patterns are what a platform's tenants
write: a source and a type each, an exact value or a list of them in `detail`, and in some a prefix,
a range of numbers, a negation or an alternative; an event matches about two.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from typing import Any

from torpor.triggers.filter.index import Index
from torpor.triggers.filter.pattern import compile_pattern

Json = dict[str, Any]
SIZES = (100, 1_000, 10_000)
SECONDS = float(os.environ.get("TORPOR_BENCH_MATCH_SECONDS", "1"))
ROUNDS = 3
EVENTS = 500
STATES = ("pending", "running", "stopping", "stopped", "terminated")


def event(number: int, tenants: int, chance: random.Random) -> Json:
    """One event of a tenant."""
    tenant = number % tenants
    return {
        "version": "0",
        "id": f"6a7e8feb-b491-4cf7-a9f1-{number:012x}",
        "detail-type": f"Order {STATES[number % 5]}",
        "source": f"shop.tenant{tenant}",
        "account": "111122223333",
        "time": "2026-01-01T16:24:49Z",
        "region": "eu-central-1",
        "resources": [f"arn:aws:ec2:eu-central-1:111122223333:instance/i-{number:08x}"],
        "detail": {
            "order-id": f"o-{number:08d}",
            "state": STATES[number % 5],
            "total": round(chance.uniform(1, 500), 2),
            "items": number % 7,
            "country": ("de", "fr", "es")[number % 3],
            "source-ip": f"10.0.{number % 256}.7",
        },
    }


def pattern(number: int, tenants: int) -> Json:
    """One subscription of a tenant; two of three tenants' patterns ask for more than equality."""
    source: Json = {"source": [f"shop.tenant{number % tenants}"]}
    match number % 6:
        case 0:
            return source
        case 1:
            return source | {"detail": {"state": ["running", "stopped"]}}
        case 2:
            return source | {"detail": {"total": [{"numeric": [">", 250]}], "country": ["de"]}}
        case 3:
            return source | {"detail": {"order-id": [{"prefix": f"o-{number % 10}"}]}}
        case 4:
            return source | {"detail": {"state": [{"anything-but": ["running", "pending"]}]}}
        case _:
            return source | {"$or": [{"detail": {"items": [0]}}, {"detail": {"country": ["es"]}}]}


def matched_per_second(patterns: int) -> tuple[float, float]:
    """Events matched a second (median of rounds), and matches an event has."""
    chance = random.Random(7)
    tenants = max(1, patterns // 4)
    index: Index[int] = Index()
    for number in range(patterns):
        index.add(number, compile_pattern(pattern(number, tenants)))
    events = [event(number, tenants, chance) for number in range(EVENTS)]
    matches = statistics.mean(len(index.matching(each)) for each in events)
    return statistics.median(_round(index, events) for _ in range(ROUNDS)), matches


def _round(index: Index[int], events: list[Json]) -> float:
    done, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < SECONDS:
        for each in events:
            index.matching(each)
        done += len(events)
    return done / passed


def main() -> None:
    """Print a line a size, and one for programs."""
    rates = {}
    for patterns in SIZES:
        rates[patterns], matches = matched_per_second(patterns)
        print(
            f"{patterns:>6} patterns: {rates[patterns]:>9,.0f} events/s, {matches:.1f} matches each"
        )
    print(" ".join(f"match_{patterns}_per_s={rate:.0f}" for patterns, rate in rates.items()))


if __name__ == "__main__":
    main()
