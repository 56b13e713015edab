"""The span store keeps its bounds whatever it is told, and tells each span once."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from torpor.telemetry.spanstore import SpanStore, Tree
from torpor.telemetry.tracing import Kind, Span

_IDS = st.integers(1, 12).map(lambda number: f"{number:016x}")
_SPANS = st.builds(
    Span,
    trace_id=st.integers(1, 5).map(lambda number: f"{number:032x}"),
    span_id=_IDS,
    parent_span_id=st.none() | _IDS,
    name=st.text(max_size=2000),
    kind=st.sampled_from(Kind),
    start_seconds=st.floats(0, 1000),
    end_seconds=st.floats(0, 1000),
    error=st.none() | st.text(max_size=10),
    attributes=st.dictionaries(
        st.text(max_size=5), st.text(max_size=2000) | st.integers(), max_size=80
    ),
)


@given(
    told=st.lists(_SPANS, max_size=60),
    traces=st.integers(1, 4),
    spans=st.integers(1, 8),
    size_bytes=st.integers(1_000, 50_000),
)
def test_it_keeps_its_bounds_and_each_span_is_told_once(
    told: list[Span], traces: int, spans: int, size_bytes: int
) -> None:
    store = SpanStore(traces=traces, spans=spans, size_bytes=size_bytes)
    for span in told:
        store.add("service", span)
        assert len(store) <= traces
        assert 0 <= store.size_bytes <= size_bytes
    for summary in store.latest():
        tree = store.tree(summary.trace_id)
        assert tree is not None
        assert summary.spans == len(tree.branches) <= spans
        ids = Counter(branch.span.span_id for branch in tree.branches)
        assert set(ids.values()) == {1}
        _check_order(tree)


def _check_order(tree: Tree) -> None:
    """Parents are before their children and one less deep; what hangs nowhere says so."""
    depths: dict[str, int] = {}
    ids = {branch.span.span_id for branch in tree.branches}
    for branch in tree.branches:
        parent = branch.span.parent_span_id
        depths[branch.span.span_id] = branch.depth
        if branch.depth:
            assert parent is not None
            assert depths[parent] == branch.depth - 1
        else:
            assert branch.is_orphan == (parent is not None)
    unknown = [b for b in tree.branches if b.span.parent_span_id not in (None, *ids)]
    assert tree.summary.orphans == len(unknown)
    assert all(branch.is_orphan for branch in unknown)


@given(told=st.lists(_SPANS, max_size=30))
def test_the_size_is_that_of_what_is_kept(told: list[Span]) -> None:
    whole, again = SpanStore(), SpanStore()
    for span in told:
        whole.add("service", span)
    for summary in whole.latest():
        tree = whole.tree(summary.trace_id)
        assert tree is not None
        for branch in tree.branches:
            again.add("service", branch.span)
    assert again.size_bytes == whole.size_bytes
