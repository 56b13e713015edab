"""Histories recorded from AWS: the same events in the same order, with the same details."""

from __future__ import annotations

from typing import Any

from tests.conformance.played import as_recorded, comparer, play
from tests.conformance.recorded import Case, needed
from torpor.workflows.asl.events import HistoryEvent

_STATED = ("error", "cause", "name", "index", "length", "state", "resource", "resourceType")
"""The details that are compared by value; payloads are compared by `test_executions`."""


def _histories() -> list[tuple[Case, list[dict[str, Any]]]]:
    histories = {row["id"]: row["events"] for row in needed("asl/histories.jsonl")}
    rows = needed("asl/executions.jsonl")
    return [(row, histories[row["id"]]) for row in rows if row["id"] in histories]


def test_recorded_histories_have_the_same_events() -> None:
    rows = _histories()
    different = []
    for case, events in rows:
        types, recorded = play(case).types, [event["type"] for event in events]
        if types != recorded:
            different.append((case["id"], types, recorded))
    print(f"asl histories: {len(rows) - len(different)} of {len(rows)}")
    for name, types, recorded in different:
        print(f"  not the same: {name}: {types} is not {recorded}")
    assert different == []


def test_recorded_events_have_the_same_details() -> None:
    wrong = [
        f"{case['id']}: {ours} {ours.details}, recorded {theirs}"
        for case, events in _histories()
        for ours, theirs in zip(play(case).history, events, strict=True)
        if not _same_details(case, ours, theirs)
    ]
    assert wrong == []


def _same_details(case: Case, ours: HistoryEvent, theirs: dict[str, Any]) -> bool:
    recorded: dict[str, Any] = next(
        (theirs[key] for key in theirs if key.endswith("EventDetails")), {}
    )
    names = {name for name in recorded if not name.endswith("Details")}
    details = as_recorded(case, ours.details)
    unparsed, equal = comparer().unj, comparer().eq
    return names == details.keys() and all(
        equal(unparsed(recorded[name]), unparsed(details[name])) for name in names & set(_STATED)
    )


def test_recorded_events_follow_the_same_events() -> None:
    rows = _histories()
    pairs = [
        (ours.type, ours.previous == theirs["previousEventId"])
        for case, events in rows
        for ours, theirs in zip(play(case).history, events, strict=True)
    ]
    same = sum(agrees for _, agrees in pairs)
    print(f"asl history order: {same} of {len(pairs)} events follow the same event")
    assert same >= 0.99 * len(pairs)
