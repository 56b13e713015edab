"""EventBridge event patterns and events from aws/event-ruler's tests: matched, or refused."""

from __future__ import annotations

import json

from tests.conformance.recorded import Case, needed
from torpor.triggers.filter.pattern import parse_pattern
from torpor.triggers.filter.pattern_error import PatternError


def test_event_patterns_match_as_in_event_ruler() -> None:
    rows = needed("events/patterns.jsonl")
    wrong = {row["id"]: found for row in rows if (found := _difference(row))}
    print(f"event patterns: {len(rows) - len(wrong)} of {len(rows)}")
    for name, found in wrong.items():
        print(f"  not the same: {name}: {found}")
    assert wrong == {}


def _difference(row: Case) -> str | None:
    try:
        pattern = parse_pattern(row.get("pattern_raw") or json.dumps(row["pattern"]))
    except PatternError as error:
        return str(error) if row["valid"] else None
    if not row["valid"]:
        return "a pattern that is not valid was accepted"
    matches = pattern.matches(row["event"])
    return None if matches == row["matches"] else f"matches: {matches}"
