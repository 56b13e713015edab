"""The Workflows of a folder: what of them is taken, and what is refused with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from torpor.dev.folder import load_folder
from torpor.dev.manifests import BadFolder
from torpor.resources.names import FunctionKey
from torpor.workflows.records import MachineType

PASS: dict[str, Any] = {
    "StartAt": "A",
    "States": {"A": {"Type": "Pass", "ResultPath": None, "End": True}},
}


def save(folder: Path, *objects: dict[str, Any]) -> Path:
    (folder / "all.yaml").write_text(yaml.safe_dump_all(objects))
    return folder


def workflow(name: str = "trip", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    }


def config_map(text: str) -> dict[str, Any]:
    meta = {"name": "code", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"asl": text}}


FROM = {"configMapKeyRef": {"name": "code", "key": "asl"}}


def test_a_workflow_is_taken_with_all_its_fields(tmp_path: Path) -> None:
    body = workflow(
        definition=PASS,
        type="Express",
        resources={"arn:aws:lambda:x": "other"},
        concurrency={"limit": 3, "key": "customer"},
    )
    found = load_folder(save(tmp_path, body))
    assert found.functions == {}
    [(key, local)] = found.workflows.items()
    assert key == FunctionKey("shop", "trip")
    assert local.wanted.type is MachineType.EXPRESS
    assert json.loads(local.wanted.definition) == PASS
    options = local.wanted.options
    assert (options.namespace, options.concurrency_limit) == ("shop", 3)
    assert options.resources == {"arn:aws:lambda:x": "other"}


def test_a_definition_in_a_config_map_is_taken_as_it_is_written(tmp_path: Path) -> None:
    text = json.dumps(PASS, indent=1)
    found = load_folder(save(tmp_path, workflow(definitionFrom=FROM), config_map(text)))
    assert found.workflows[FunctionKey("shop", "trip")].wanted.definition == text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (workflow("a.b", definition=PASS), "metadata.name: 'a.b': at most 52 lower case letters"),
        (workflow(), "spec: give exactly one of definition and definitionFrom"),
        (workflow(definition=PASS, definitionFrom=FROM), "spec: give exactly one of"),
        (workflow(definitionFrom=FROM), "spec.definitionFrom.configMapKeyRef: no ConfigMap 'code'"),
        (workflow(definition=PASS, type="Fast"), "spec.type: "),
        (workflow(definition=PASS, concurency={"limit": 1}), "did you mean concurrency?"),
        (
            workflow(definition={**PASS, "StartAt": "B"}),
            "Workflow trip: /StartAt: ",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, body: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadFolder) as caught:
        load_folder(save(tmp_path, body))
    assert told in str(caught.value)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{tmp_path}/all.yaml") for line in lines)


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match="Workflow shop/trip is there twice"):
        load_folder(save(tmp_path, workflow(definition=PASS), workflow(definition=PASS)))
