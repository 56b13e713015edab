"""The CRD of Workflows and the parser say the same, and every example is a valid Workflow."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.crds.schema import defaulted, nodes, problems
from torpor.resources.workflow import DeletionPolicy, LogLevel, Workflow, WorkflowType
from torpor.workflows.admission import check_admission
from torpor.workflows.records import MachineType

ROOT = Path(__file__).resolve().parents[3]
CRD = yaml.safe_load((ROOT / "crds" / "workflows.yaml").read_text())
[VERSION] = CRD["spec"]["versions"]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
SPEC = SCHEMA["properties"]["spec"]
DEFINITION = {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}
FULL = {
    "definition": DEFINITION,
    "concurrency": {"limit": 3, "key": "a"},
    "resources": {"arn:aws:lambda:x": "y"},
}


def examples() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path in sorted((ROOT / "examples").rglob("*.y*ml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document and document.get("kind") == "Workflow":
                found.append((str(path.relative_to(ROOT)), document))
    return found


def parsed(spec: dict[str, Any]) -> Workflow:
    return Workflow.parse({"metadata": {"name": "x", "namespace": "y"}, "spec": spec})


@pytest.mark.parametrize(
    "spec",
    [
        {"definition": DEFINITION},
        {"definitionFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}},
        FULL,
    ],
)
def test_defaults_of_the_schema_are_those_of_the_parser(spec: dict[str, Any]) -> None:
    stored = defaulted(spec, SPEC)
    assert list(problems(stored, SPEC)) == []
    assert parsed(stored) == parsed(spec)


def test_a_changed_default_would_be_noticed() -> None:
    stored = defaulted({"definition": DEFINITION}, SPEC)
    assert parsed({**stored, "retention": {"days": 91}}) != parsed({"definition": DEFINITION})


@pytest.mark.parametrize(
    ("path", "kind"),
    [("type", WorkflowType), ("logging.level", LogLevel), ("deletionPolicy", DeletionPolicy)],
)
def test_choices_are_the_same(path: str, kind: type[WorkflowType]) -> None:
    assert at(path)["enum"] == [item.value for item in kind]


@pytest.mark.parametrize(
    ("path", "low", "high"),
    [
        ("timeoutSeconds", 1, 99_999_999),
        ("concurrency.limit", 1, 1_000_000),
        ("retention.days", 1, 3650),
    ],
)
def test_bounds_are_those_of_the_parser(path: str, low: int, high: int) -> None:
    assert (at(path)["minimum"], at(path)["maximum"]) == (low, high)


def test_every_field_of_the_spec_is_read() -> None:
    names = {_snake(name) for name in SPEC["properties"]} - {"retention"}
    own = {"key", "uid", "generation", "status", "retention_days"}
    assert names == {item.name for item in fields(Workflow)} - own


def test_everything_is_bounded() -> None:
    for path, schema in nodes(SCHEMA):
        if path in ("", ".apiVersion", ".kind", ".metadata") or "enum" in schema:
            continue
        if schema.get("type") == "string" and "format" not in schema:
            assert "maxLength" in schema, path
        if schema.get("type") == "array":
            assert "maxItems" in schema, path
            assert "x-kubernetes-list-type" in schema, path
        if "additionalProperties" in schema:
            assert "maxProperties" in schema, path
        if schema.get("type") == "integer":
            assert "format" in schema, path


def test_the_language_may_grow_but_nothing_else() -> None:
    open_ended = {
        path for path, schema in nodes(SPEC) if schema.get("x-kubernetes-preserve-unknown-fields")
    }
    assert open_ended == {".definition", ".definition.States{}"}


def test_every_rule_says_what_to_do() -> None:
    for path, schema in nodes(SCHEMA):
        for rule in schema.get("x-kubernetes-validations", ()):
            assert len(rule["message"]) > 20, path


def test_columns_show_what_is_asked_for_first() -> None:
    shown = [item["name"] for item in VERSION["additionalPrinterColumns"] if "priority" not in item]
    assert shown == ["Ready", "Type", "Running", "Succeeded", "Failed", "Age"]
    assert CRD["spec"]["names"]["shortNames"] == ["wf"]


def test_the_status_has_a_place_for_every_count_that_is_shown() -> None:
    counts = SCHEMA["properties"]["status"]["properties"]["executions"]["properties"]
    paths = [item["jsonPath"] for item in VERSION["additionalPrinterColumns"]]
    wanted = {path.rpartition(".")[2] for path in paths if ".executions." in path}
    assert wanted <= set(counts)


@pytest.mark.parametrize(("path", "document"), examples())
def test_every_example_is_valid(path: str, document: dict[str, Any]) -> None:
    stored = defaulted(document["spec"], SPEC)
    assert list(problems(stored, SPEC, "spec")) == []
    workflow = Workflow.parse({**document, "spec": stored})
    text = json.dumps(workflow.definition)
    assert check_admission(text, MachineType(workflow.type.value.upper())) == ()


def at(path: str) -> dict[str, Any]:
    schema: dict[str, Any] = SPEC
    for name in path.split("."):
        schema = schema["properties"][name]
    return schema


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
