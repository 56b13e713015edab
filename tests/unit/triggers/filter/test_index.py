"""The index of many patterns: the same answers as the patterns, at a cost that does not grow."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from torpor.triggers.filter.index import Index
from torpor.triggers.filter.pattern import compile_pattern


def index_of(patterns: dict[str, dict[str, Any]]) -> Index[str]:
    """An index of these patterns."""
    index: Index[str] = Index()
    for key, pattern in patterns.items():
        index.add(key, compile_pattern(pattern))
    return index


def test_the_keys_of_all_matching_patterns_are_found() -> None:
    index = index_of(
        {
            "exact": {"source": ["shop"], "detail": {"state": ["paid"]}},
            "prefix": {"source": [{"prefix": "sh"}]},
            "wildcard": {"source": [{"wildcard": "s*p"}]},
            "range": {"detail": {"total": [{"numeric": [">", 100]}]}},
            "absent": {"detail": {"test": [{"exists": False}]}},
            "either": {"$or": [{"source": ["bank"]}, {"detail": {"state": ["paid"]}}]},
            "true": {"detail": {"vip": [True]}},
            "one": {"detail": {"vip": [1]}},
        }
    )
    paid = {"source": "shop", "detail": {"state": "paid", "total": 50, "vip": True}}
    assert index.matching(paid) == {"exact", "prefix", "wildcard", "absent", "either", "true"}
    tested = {"source": "bank", "detail": {"total": 101, "test": 1, "vip": 1}}
    assert index.matching(tested) == {"range", "either", "one"}
    assert index.matching({}) == {"absent"}


def test_arrays_lead_to_every_element() -> None:
    index = index_of({"a": {"d": {"x": [1], "y": [2]}}, "b": {"tags": ["red"], "n": [1]}})
    assert index.matching({"d": [{"x": 1}, {"y": 2}], "tags": ["blue", "red"], "n": 1}) == {"b"}
    assert index.matching({"d": [{"x": 0}, {"x": 1, "y": 2}]}) == {"a"}


def test_a_pattern_is_replaced_and_removed() -> None:
    index = index_of({"k": {"a": [1]}})
    index.add("k", compile_pattern({"b": [1]}))
    assert index.matching({"a": 1}) == set()
    assert index.matching({"b": 1}) == {"k"}
    index.remove("k")
    index.remove("k")
    assert index.matching({"b": 1}) == set()
    assert len(index) == 0
    assert "k" not in index


def test_many_changes_leave_the_rest_as_it_was() -> None:
    index: Index[int] = Index()
    for number in range(500):
        index.add(number, compile_pattern({"source": ["s"], "id": [str(number)]}))
        if number >= 10:
            index.remove(number - 10)
    assert len(index) == 10
    assert index.matching({"source": "s", "id": "495"}) == {495}
    assert index.matching({"source": "s", "id": "3"}) == set()


def test_lists_in_several_fields_do_not_fill_the_memory() -> None:
    index: Index[int] = Index()
    letters = [chr(97 + n) for n in range(26)]
    pattern = compile_pattern({name: letters for name in "uvwxyz"})
    tracemalloc.start()
    for number in range(60):
        index.add(number, pattern)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(index.matching(dict.fromkeys("uvwxyz", "q"))) == 60
    assert most_bytes < 50_000_000


def test_many_fields_do_not_make_the_tree_deep() -> None:
    index: Index[int] = Index()
    fields = {f"f{number}": ["x"] for number in range(300)}
    pattern = compile_pattern(fields)
    for number in range(500):
        index.add(number, pattern)
    assert len(index.matching(dict.fromkeys(fields, "x"))) == 500


def test_long_lists_do_not_multiply() -> None:
    letters = [f"x{n}" for n in range(300)]
    index = index_of({str(n): {"a": letters, "b": [n, {"suffix": "z"}]} for n in range(20)})
    ranges = index_of({str(n): {"a": [{"suffix": "z"}], "b": [n]} for n in range(20)})
    event = {"a": [f"x{n}" for n in range(20_000)], "b": ["y"] * 20_000}
    start = time.process_time()
    assert index.matching(event) == set()
    assert ranges.matching(event) == set()
    assert time.process_time() - start < 3


PATTERNS: dict[str, Callable[[int], dict[str, Any]]] = {
    "one field": lambda n: {"detail": {"id": [f"id-{n}"]}},
    "one source": lambda n: {"source": ["shop"], "detail": {"id": [f"id-{n}"]}},
    "two fields": lambda n: {"source": [f"s-{n % 100}"], "type": [f"t-{n // 100}"]},
    "prefixes": lambda n: {"detail": {"id": [{"prefix": f"id-{n:05d}"}]}},
}


@pytest.mark.parametrize("name", PATTERNS)
def test_ten_thousand_patterns_cost_little_more_than_a_hundred(name: str) -> None:
    event = {"source": "shop", "type": "t-0", "detail": {"id": "id-00042", "more": [1, 2]}}
    few, many = (_seconds(_filled(name, count), event) for count in (100, 10_000))
    assert many < 5 * few


def _filled(name: str, count: int) -> Index[int]:
    index: Index[int] = Index()
    for number in range(count):
        index.add(number, compile_pattern(PATTERNS[name](number)))
    return index


def _seconds(index: Index[int], event: dict[str, Any]) -> float:
    """The least time of several rounds, which other work on the machine disturbs least."""
    index.matching(event)
    rounds = []
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(200):
            index.matching(event)
        rounds.append(time.perf_counter() - start)
    return min(rounds)
