"""An execution's graph and history, from a definition and AWS's events."""

from __future__ import annotations

from typing import Any

from torpor.dashboard.graph import graph_json, history_json
from torpor.workflows.graph import read_graph

DEFINITION = {
    "StartAt": "Both",
    "States": {
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {
                    "StartAt": "Try",
                    "States": {
                        "Try": {
                            "Type": "Task",
                            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Mend"}],
                            "End": True,
                        },
                        "Mend": {"Type": "Pass", "End": True},
                    },
                },
                {
                    "StartAt": "Each",
                    "States": {
                        "Each": {
                            "Type": "Map",
                            "ItemProcessor": {
                                "StartAt": "One",
                                "States": {"One": {"Type": "Pass", "End": True}},
                            },
                            "End": True,
                        }
                    },
                },
            ],
            "Next": "Last",
        },
        "Last": {"Type": "Wait", "Seconds": 5, "End": True},
    },
}


def event(id: int, previous: int, type: str, **details: Any) -> dict[str, Any]:
    member = "stateEnteredEventDetails" if type.endswith("Entered") else "someEventDetails"
    member = "stateExitedEventDetails" if type.endswith("Exited") else member
    told = {member: details} if details else {}
    return {
        "id": id,
        "previousEventId": previous,
        "type": type,
        "timestamp": 100.0 + id,
        **told,
    }


HISTORY = [
    event(1, 0, "ExecutionStarted"),
    event(2, 1, "ParallelStateEntered", name="Both"),
    event(3, 2, "TaskStateEntered", name="Try"),
    event(4, 3, "TaskScheduled"),
    event(5, 4, "TaskFailed", error="Disk", cause="full"),
    event(6, 5, "TaskScheduled"),
    event(7, 6, "TaskFailed", error="Disk", cause="still full"),
    event(8, 7, "TaskStateExited", name="Try"),
    event(9, 8, "PassStateEntered", name="Mend"),
    event(10, 2, "MapStateEntered", name="Each"),
    event(11, 10, "MapStateStarted", length=3),
    event(12, 11, "MapIterationStarted", name="Each", index=0),
    event(13, 11, "MapIterationStarted", name="Each", index=1),
    event(14, 12, "MapIterationSucceeded", name="Each", index=0),
    event(15, 13, "MapIterationFailed", name="Each", index=1),
]


def nodes(graph: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {node["name"]: node for node in graph["nodes"]}
    for node in graph["nodes"]:
        for block in node["blocks"]:
            found |= nodes(block)
    return found


def test_each_state_says_how_it_stands() -> None:
    found = nodes(graph_json(read_graph(DEFINITION), HISTORY))
    assert {name: node["status"] for name, node in found.items()} == {
        "Both": "running",
        "Try": "caught",
        "Mend": "running",
        "Each": "running",
        "One": "waiting",
        "Last": "waiting",
    }
    tried = found["Try"]
    assert (tried["tries"], tried["error"]) == (2, "Disk: still full")
    assert (tried["enteredAt"], tried["seconds"]) == (103.0, 5.0)
    assert (found["Both"]["enteredAt"], found["Both"]["seconds"]) == (102.0, None)
    assert found["Each"]["items"] == {"total": 3, "started": 2, "succeeded": 1, "failed": 1}
    assert found["Last"]["entered"] == 0


def test_branches_are_blocks_and_ids_are_unique() -> None:
    graph = graph_json(read_graph(DEFINITION), [])
    both = nodes(graph)["Both"]
    assert [[node["name"] for node in block["nodes"]] for block in both["blocks"]] == [
        ["Try", "Mend"],
        ["Each"],
    ]
    ids = [node["id"] for node in nodes(graph).values()]
    assert len(set(ids)) == len(ids)
    [edge] = both["blocks"][0]["edges"]
    assert (edge["way"], edge["label"]) == ("catch", "States.ALL")
    assert graph["start"] == both["id"]


def test_the_history_says_what_each_event_is_about() -> None:
    told = history_json(HISTORY)
    assert told[4] == {
        "id": 5,
        "type": "TaskFailed",
        "at": 105.0,
        "state": "Try",
        "text": "Disk: full",
    }
    assert told[0]["state"] == ""
