"""What is drawn of a definition: every state and transition, and nothing over another."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torpor.workflows.graph import Look, Way, looks, mermaid, read_graph, svg, visits
from torpor.workflows.graph.layout import Link, Place, Size, lay_out
from torpor.workflows.graph.rules import rule_text

SVG = "{http://www.w3.org/2000/svg}"
ORDER: dict[str, Any] = {
    "StartAt": "Check",
    "States": {
        "Check": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.total", "NumericGreaterThan": 100, "Next": "Both"}],
            "Default": "Ship & <go>",
        },
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": "Pay", "States": {"Pay": {"Type": "Task", "End": True}}},
                {
                    "StartAt": "Each",
                    "States": {
                        "Each": {
                            "Type": "Map",
                            "ItemProcessor": {
                                "StartAt": "Pack",
                                "States": {"Pack": {"Type": "Pass", "End": True}},
                            },
                            "End": True,
                        }
                    },
                },
            ],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Again"}],
            "Next": "Ship & <go>",
        },
        "Again": {"Type": "Wait", "Seconds": 5, "Next": "Check"},
        "Ship & <go>": {"Type": "Task", "Next": "Done"},
        "Done": {"Type": "Succeed"},
    },
}


def test_every_transition_is_an_edge_with_its_label() -> None:
    graph = read_graph(ORDER)
    names = {node.id: node.name for node in graph.nodes}
    edges = {(names[e.source], names[e.target], e.way, e.label) for e in graph.edges}
    assert edges == {
        ("Check", "Both", Way.CHOICE, "$.total > 100"),
        ("Check", "Ship & <go>", Way.DEFAULT, "otherwise"),
        ("Both", "Ship & <go>", Way.NEXT, ""),
        ("Both", "Again", Way.CATCH, "States.ALL"),
        ("Again", "Check", Way.NEXT, ""),
        ("Ship & <go>", "Done", Way.NEXT, ""),
    }


def test_mermaid_nests_and_quotes() -> None:
    text = mermaid(read_graph(ORDER), {"Pay": Look.FAILED, "Check": Look.SUCCEEDED})
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "flowchart TD"
    assert 'subgraph s1["Parallel: Both"]' in lines
    assert 'subgraph s1_1_0["Map: Each"]' in lines
    assert 's1_1_0_0_0("Pack")' in lines
    assert 's3["Ship & #lt;go#gt;"]' in lines
    assert 's0 -->|"$.total #gt; 100"| s1' in lines
    assert 's1 -.->|"States.ALL"| s2' in lines
    assert "class s1_0_0 failed" in lines
    assert "class s0 succeeded" in lines
    assert lines.count("end") == 2


def test_svg_shows_every_state_once_with_its_colour() -> None:
    root = ElementTree.fromstring(svg(read_graph(ORDER), {"Pay": Look.RUNNING}))
    states = {group.get("data-state"): group for group in root.iter(f"{SVG}g")}
    assert set(states) == {"Check", "Both", "Pay", "Each", "Pack", "Again", "Ship & <go>", "Done"}
    fills = {name: group[1].get("fill") for name, group in states.items()}
    assert fills["Pay"] != fills["Pack"] == "#ffffff"
    assert states["Pay"][0].text == "Task Pay: running"
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"$.total > 100", "otherwise", "States.ALL", "Parallel: Both"} <= set(texts)


def test_inner_boxes_lie_within_their_state() -> None:
    root = ElementTree.fromstring(svg(read_graph(ORDER)))
    boxes = {g.get("data-state"): _box(g[1]) for g in root.iter(f"{SVG}g")}
    for inner, outer in (("Pay", "Both"), ("Each", "Both"), ("Pack", "Each")):
        left, top, right, bottom = boxes[inner]
        assert boxes[outer][0] <= left
        assert boxes[outer][1] <= top
        assert right <= boxes[outer][2]
        assert bottom <= boxes[outer][3]


def _box(rect: ElementTree.Element) -> tuple[float, float, float, float]:
    if rect.tag == f"{SVG}polygon":
        numbers = [float(n) for n in re.findall(r"[\d.]+", rect.get("points", ""))]
        return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])
    x, y, width, height = (float(rect.get(name, "")) for name in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


NAMES = st.integers(0, 12).map("n{}".format)
LINKS = st.lists(st.tuples(NAMES, NAMES, st.booleans()), max_size=30)


@given(LINKS)
@settings(max_examples=150, deadline=None)
def test_no_two_places_overlap_and_every_route_joins_its_ends(
    found: list[tuple[str, str, bool]],
) -> None:
    sizes = {f"n{n}": Size(60.0 + 7 * n, 30.0) for n in range(13)}
    links = [Link(a, b, Size(50.0, 16.0) if label else None) for a, b, label in found]
    layout = lay_out(sizes, links, "n0")
    for one, other in combinations(layout.places.values(), 2):
        assert _apart(one, other)
    for link, route in zip(links, layout.routes, strict=True):
        assert route.places[0] == layout.places[link.source]
        assert route.places[-1] == layout.places[link.target]
        if link.label and link.source != link.target:
            assert route.label is not None
            assert all(_apart(route.label, place) for place in layout.places.values())
    assert all(place.x >= -0.01 for place in layout.places.values())


def _apart(one: Place, other: Place) -> bool:
    return (
        one.x + one.size.width <= other.x + 0.01
        or other.x + other.size.width <= one.x + 0.01
        or one.bottom <= other.y + 0.01
        or other.bottom <= one.y + 0.01
    )


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"Variable": "$.a", "StringEquals": "x"}, '$.a = "x"'),
        ({"Variable": "$.a", "NumericLessThanEqualsPath": "$.b"}, "$.a ≤ $.b"),
        ({"Variable": "$.a", "IsPresent": False}, "$.a is not present"),
        ({"Not": {"Variable": "$.a", "BooleanEquals": True}}, "not ($.a = true)"),
        (
            {
                "Or": [
                    {"Variable": "$.a", "IsNull": True},
                    {
                        "And": [
                            {"Variable": "$.b", "StringMatches": "x*"},
                            {"Variable": "$.c", "TimestampGreaterThan": "2026-01-01T00:00:00Z"},
                        ]
                    },
                ]
            },
            '$.a is null or ($.b like "x*" and $.c > "2026-01-01T00:00:00Z")',
        ),
        ({"Condition": "{% $total > 3 %}", "Next": "A"}, "$total > 3"),
    ],
)
def test_a_rule_in_words(rule: dict[str, Any], text: str) -> None:
    assert rule_text(rule) == text


def test_a_transition_to_nowhere_is_left_out() -> None:
    graph = read_graph({"StartAt": "Gone", "States": {"A": {"Type": "Pass", "Next": "Gone"}}})
    assert (graph.start, graph.edges) == (None, ())
    ElementTree.fromstring(svg(graph))


def event(number: int, before: int, kind: str, **details: Any) -> dict[str, Any]:
    return {
        "id": number,
        "previousEventId": before,
        "type": kind,
        "timestamp": float(number),
        **details,
    }


def entered(number: int, before: int, kind: str, name: str) -> dict[str, Any]:
    details = {"stateEnteredEventDetails": {"name": name}}
    return event(number, before, f"{kind}StateEntered", **details)


def exited(number: int, before: int, kind: str, name: str) -> dict[str, Any]:
    details = {"stateExitedEventDetails": {"name": name}}
    return event(number, before, f"{kind}StateExited", **details)


def test_how_states_stand_is_read_from_the_history() -> None:
    history = [
        event(1, 0, "ExecutionStarted"),
        entered(2, 1, "Task", "Book"),
        event(3, 2, "LambdaFunctionScheduled"),
        event(4, 3, "LambdaFunctionFailed"),
        event(5, 4, "LambdaFunctionScheduled"),
        event(6, 5, "LambdaFunctionSucceeded"),
        exited(7, 6, "Task", "Book"),
        entered(8, 7, "Task", "Pay"),
        event(9, 8, "LambdaFunctionScheduled"),
        event(10, 9, "LambdaFunctionFailed"),
        exited(11, 10, "Task", "Pay"),
        entered(12, 11, "Wait", "Rest"),
    ]
    expected = {"Book": Look.SUCCEEDED, "Pay": Look.CAUGHT, "Rest": Look.RUNNING}
    assert looks(history) == expected
    ended = [*history, event(13, 12, "ExecutionAborted")]
    assert looks(ended) == {**expected, "Rest": Look.FAILED}
    book = visits(history)["Book"]
    assert (book.kind, book.tries, book.entered_at, book.exited_at) == ("Task", 2, 2.0, 7.0)
