"""What the span store shows of a trace."""

from __future__ import annotations

from torpor.telemetry.spanstore import SpanStore, Tree
from torpor.telemetry.tracing import Kind, Span

TRACE = "a" * 32


def span(number: int, parent: int | None = None, start: float = 0.0, **more: object) -> Span:
    above = None if parent is None else f"{parent:016x}"
    given = {"trace_id": TRACE, "error": None, "end_seconds": start + 1.0, **more}
    return Span(
        str(given["trace_id"]),
        f"{number:016x}",
        above,
        f"span {number}",
        Kind.INTERNAL,
        start,
        float(str(given["end_seconds"])),
        None if given["error"] is None else str(given["error"]),
    )


def shown(store: SpanStore, trace_id: str = TRACE) -> Tree:
    found = store.tree(trace_id)
    assert found is not None
    return found


def names(tree: Tree) -> list[str]:
    return ["  " * branch.depth + branch.span.name for branch in tree.branches]


def test_children_are_below_their_parents_in_the_order_of_their_start() -> None:
    store = SpanStore()
    for each in (span(4, 1, 3.0), span(3, 2, 2.0), span(1), span(2, 1, 1.0)):
        store.add("service", each)
    assert names(shown(store)) == ["span 1", "  span 2", "    span 3", "  span 4"]
    assert shown(store).summary.seconds == 4.0


def test_a_span_without_its_parent_is_told_apart_until_that_comes() -> None:
    store = SpanStore()
    for each in (span(1), span(3, 2, 1.0), span(4, 3, 2.0)):
        store.add("service", each)
    assert [(b.span.name, b.is_orphan) for b in shown(store).branches] == [
        ("span 1", False),
        ("span 3", True),
        ("span 4", False),
    ]
    assert shown(store).summary.orphans == 1
    store.add("service", span(2, 1))
    assert shown(store).summary.orphans == 0
    assert names(shown(store)) == ["span 1", "  span 2", "    span 3", "      span 4"]


def test_spans_that_are_below_themselves_are_told_too() -> None:
    store = SpanStore()
    for each in (span(1, 2), span(2, 1, 1.0), span(3, 3)):
        store.add("service", each)
    assert names(shown(store)) == ["span 1", "  span 2", "span 3"]


def test_a_trace_deeper_than_any_recursion_is_told() -> None:
    store = SpanStore()
    for number in range(1, 2001):
        store.add("service", span(number, number - 1 or None))
    branches = shown(store).as_json()["tree"]
    assert [branch["depth"] for branch in branches] == list(range(2000))


def test_the_same_span_told_again_replaces_the_first() -> None:
    store = SpanStore(spans=1)
    store.add("service", span(1))
    store.add("service", span(1, end_seconds=5.0, error="late"))
    store.add("service", span(2))
    assert shown(store).summary.as_json() == {
        "traceId": TRACE,
        "name": "span 1",
        "startedAt": 0.0,
        "seconds": 5.0,
        "spans": 1,
        "errors": 1,
        "orphans": 0,
        "dropped": 1,
    }


def test_the_trace_that_nothing_was_added_to_for_longest_goes() -> None:
    store = SpanStore(traces=2)
    for trace_id in ("1" * 32, "2" * 32):
        store.add("service", span(1, trace_id=trace_id))
    store.add("service", span(2, trace_id="1" * 32))
    store.add("service", span(1, trace_id="3" * 32, start=9.0))
    assert store.tree("2" * 32) is None
    assert [summary.trace_id for summary in store.latest()] == ["3" * 32, "1" * 32]


def test_what_no_terminal_takes_is_replaced() -> None:
    store = SpanStore()
    odd = Span(
        TRACE, "b" * 16, None, "a\ud800b", Kind.SERVER, 0.0, 0.0, None, {"c\udfff": "\ud900"}
    )
    store.add("x\ud800", odd)
    [branch] = shown(store).branches
    assert (branch.service, branch.span.name) == ("x?", "a?b")
    assert branch.span.attributes == {"c?": "?"}
