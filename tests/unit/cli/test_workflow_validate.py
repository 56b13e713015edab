"""`torpor workflow validate` and `graph` of files: every problem with its path, and statuses."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from torpor.cli.main import main

GOOD: dict[str, Any] = {
    "StartAt": "Book",
    "States": {
        "Book": {"Type": "Task", "Resource": "arn:aws:lambda:book", "Next": "Done"},
        "Done": {"Type": "Succeed"},
    },
}
BAD: dict[str, Any] = {
    "StartAt": "Book",
    "States": {
        "Book": {"Type": "Task", "Resource": "arn:aws:lambda:book", "Next": "Gone"},
        "Rest": {"Type": "Wait", "Seconds": -1, "End": True},
    },
}


def workflow(definition: Any, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "trip", "namespace": "shop"},
        "spec": {"definition": definition, **spec},
    }


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    def write(name: str, *documents: Any) -> str:
        path = tmp_path / name
        if name.endswith(".json"):
            path.write_text(json.dumps(documents[0]))
        else:
            path.write_text(yaml.safe_dump_all(documents))
        return str(path)

    return write


Save = Callable[..., str]
Capture = pytest.CaptureFixture[str]


def validate(*words: str) -> int:
    return main(["workflow", "validate", *words])


def test_a_good_definition_is_valid_in_every_form(save: Save, capsys: Capture) -> None:
    manifest, bare = save("a.yaml", workflow(GOOD)), save("b.asl.json", GOOD)
    plain = save("c.yaml", GOOD)
    assert validate(manifest, bare, plain) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{manifest}: Workflow shop/trip: valid, 2 states",
        f"{bare}: valid, 2 states",
        f"{plain}: valid, 2 states",
    ]


def test_every_problem_is_told_with_its_path(save: Save, capsys: Capture) -> None:
    file = save("a.yaml", workflow(BAD, concurency={"limit": 3}))
    assert validate(file) == 1
    *told, last = capsys.readouterr().out.splitlines()
    named = f"{file}: Workflow shop/trip: error at "
    assert all(line.startswith(named) for line in told)
    places = [line.removeprefix(named).partition(": ")[0] for line in told]
    assert {"spec.concurency", "/States/Book/Next", "/States/Rest/Seconds"} <= set(places)
    assert last == f"{file}: Workflow shop/trip: not valid, {len(told)} errors"


def test_the_same_problems_for_programs(save: Save, capsys: Capture) -> None:
    assert validate(save("a.json", BAD), "-o", "json") == 1
    [found] = json.loads(capsys.readouterr().out)
    assert (found["valid"], found["workflow"]) == (False, None)
    assert {"severity", "code", "location", "message"} == set(found["problems"][0])
    assert "/States/Book/Next" in {problem["location"] for problem in found["problems"]}


def test_broken_json_is_told_with_line_and_column(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"StartAt": "A",\n "States": }')
    assert validate(str(file)) == 1
    assert "line: 2" in capsys.readouterr().out


def test_an_unknown_resource_is_an_error_that_names_its_state(save: Save, capsys: Capture) -> None:
    wrong: dict[str, Any] = {
        "StartAt": "Book",
        "States": {"Book": {**GOOD["States"]["Book"], "End": True}},
    }
    del wrong["States"]["Book"]["Next"]
    wrong["States"]["Book"]["Resource"] = "arn:aws:nothing:of:the:kind"
    assert validate(save("a.json", wrong)) == 1
    assert "/States/Book/Resource" in capsys.readouterr().out


def test_a_definition_in_a_config_map_is_found(save: Save, capsys: Capture) -> None:
    body = workflow(GOOD)
    body["spec"] = {"definitionFrom": {"configMapKeyRef": {"name": "code", "key": "asl"}}}
    code = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "code", "namespace": "shop"},
        "data": {"asl": json.dumps(BAD)},
    }
    assert validate(save("a.yaml", body, code)) == 1
    assert "/States/Book/Next" in capsys.readouterr().out
    assert validate(save("b.yaml", body)) == 1
    assert "no ConfigMap code, key asl" in capsys.readouterr().out


def test_express_ones_are_checked_as_such(save: Save, capsys: Capture) -> None:
    waits = {
        "StartAt": "Ask",
        "States": {
            "Ask": {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
                "Parameters": {"FunctionName": "ask", "Payload": {"token.$": "$$.Task.Token"}},
                "End": True,
            }
        },
    }
    file = save("a.json", waits)
    assert validate(file) == 0
    assert validate(file, "--type", "EXPRESS") == 1
    assert validate(save("b.yaml", workflow(waits, type="Express"))) == 1
    capsys.readouterr()


def test_stdin_is_a_file_too(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    raw = io.BytesIO(json.dumps(GOOD).encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw))
    assert validate("-") == 0
    assert capsys.readouterr().out == "-: valid, 2 states\n"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("gone.yaml", None, "cannot be read"),
        ("a.yaml", "a: [", "not YAML"),
        ("a.yaml", "a: 1\na: 2", "'a' is there twice"),
        ("a.yaml", "kind: Function", "no definition"),
    ],
)
def test_what_is_no_definition_at_all_is_2(
    tmp_path: Path, capsys: Capture, name: str, text: str | None, told: str
) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    assert validate(str(file)) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert told in found.err


def test_a_file_is_drawn(save: Save, capsys: Capture) -> None:
    file = save("a.yaml", workflow(GOOD))
    assert main(["workflow", "graph", file]) == 0
    assert 's0["Book"]' in capsys.readouterr().out
    assert main(["workflow", "graph", file, "--format", "svg"]) == 0
    assert capsys.readouterr().out.startswith("<svg ")
    assert main(["workflow", "graph", save("b.json", BAD)]) == 1
    assert "/States/Book/Next" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["Order_Flow", "a.b", "-a", "a" * 64])
def test_a_workflow_is_named_by_a_dns_label(save: Save, capsys: Capture, name: str) -> None:
    body = workflow(GOOD)
    body["metadata"]["name"] = name
    assert validate(save("a.yaml", body)) == 1
    assert f"metadata.name: {name!r} is not a DNS label" in capsys.readouterr().out


def test_a_resource_that_nothing_runs_is_told_with_its_state(save: Save, capsys: Capture) -> None:
    resource = "arn:aws:states:::dynamodb:putItem"
    states = {"Put": {"Type": "Task", "Resource": resource, "End": True}}
    assert validate(save("a.json", {"StartAt": "Put", "States": states})) == 1
    told = capsys.readouterr().out
    assert "at /States/Put/Resource: Service 'dynamodb' is not supported" in told
