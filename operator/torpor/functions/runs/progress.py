"""How far a run is, from what its pods told. Pure.

What a pod tells is a program's of the user, so it is taken field by field, and bounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

Progress = Mapping[str, Any]

_NUMBERS = ("done", "total", "ratio", "speed", "leftSeconds")
_TEXTS = {"unit": 32, "message": 200}


def understood(found: object) -> Progress | None:
    """Return what a pod told, None if it is no progress; what is not known is None in it."""
    if not isinstance(found, Mapping):
        return None
    numbers = {name: _number(found.get(name)) for name in _NUMBERS}
    texts = {name: _text(found.get(name))[:most] for name, most in _TEXTS.items()}
    if numbers["ratio"] is None and numbers["total"] and numbers["done"] is not None:
        numbers["ratio"] = numbers["done"] / numbers["total"]
    if numbers["ratio"] is not None:
        numbers["ratio"] = min(1.0, max(0.0, numbers["ratio"]))
    return {**numbers, **texts}


def together(told: Mapping[int, Progress], succeeded: Iterable[int], total: int) -> Progress | None:
    """Return the progress of a run of `total` indexes; None while no index told of any.

    What is done is counted over the indexes that told; the ratio is over all of them.
    """
    if not told:
        return None
    ended = set(succeeded)
    told = {index: whole(item) if index in ended else item for index, item in told.items()}
    first = told[min(told.keys() - ended, default=min(told))]
    if total == 1:
        return first
    ratios = [told[index]["ratio"] or 0.0 for index in told.keys() - ended]
    running = [told[index] for index in told.keys() - ended]
    left = [item["leftSeconds"] for item in running if item["leftSeconds"] is not None]
    return {
        "done": _sum(told.values(), "done"),
        "total": _sum(told.values(), "total"),
        "ratio": round((len(ended) + sum(ratios)) / total, 6),
        "speed": _sum(running, "speed"),
        "leftSeconds": max(left, default=None),
        "unit": first["unit"],
        "message": first["message"],
    }


def whole(told: Progress) -> Progress:
    """Return the progress of what has ended well, whatever it told last."""
    done = told["done"] if told["total"] is None else told["total"]
    return {**told, "done": done, "ratio": 1.0, "leftSeconds": 0.0}


def _sum(told: Iterable[Progress], name: str) -> float | None:
    values = [item[name] for item in told if item[name] is not None]
    return sum(values) if values else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return round(value, 6)
