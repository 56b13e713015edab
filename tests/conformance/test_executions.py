"""Executions recorded from AWS: the status, the output, the error and the cause are the same."""

from __future__ import annotations

from tests.conformance.played import difference, play
from tests.conformance.recorded import needed

_PLACEHOLDERS = {
    "test_query_context_object_values": "the recording has the word entered-time for a time",
    "test_math_random_seeded": "the recording has a word for the number, which AWS does not define",
}
"""Cases that no engine can pass: values replaced by words that the comparer takes literally."""


def test_recorded_executions_end_the_same() -> None:
    rows = needed("asl/executions.jsonl")
    different = {row["id"]: why for row in rows if (why := difference(row, play(row)))}
    print(f"asl executions: {len(rows) - len(different)} of {len(rows)}")
    unexpected = {}
    for name, why in different.items():
        reason = next((text for word, text in _PLACEHOLDERS.items() if word in name), None)
        print(f"  not the same: {name}: {reason or why}")
        if reason is None:
            unexpected[name] = why
    assert unexpected == {}
