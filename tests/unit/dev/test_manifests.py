"""A folder is read as strictly as the API server reads objects, and every problem has its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from torpor.dev.folder import load_folder
from torpor.dev.manifests import BadFolder
from torpor.resources.names import FunctionKey

RUNTIME = {"runtime": "python3", "handler": "main.handler", "code": {"inline": "x"}}


def function(name: str = "one", **spec: Any) -> dict[str, Any]:
    meta = {"name": name}
    body = {**RUNTIME, **spec}
    return {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Function",
        "metadata": meta,
        "spec": body,
    }


def problems(folder: Path, *objects: object) -> list[str]:
    """Return what is wrong with the objects, each in a file of its own (JSON is YAML)."""
    for number, body in enumerate(objects):
        text = body if isinstance(body, str) else json.dumps(body)
        (folder / f"{number}.yaml").write_text(text)
    with pytest.raises(BadFolder) as refused:
        load_folder(folder)
    return str(refused.value).replace(f"{folder}/", "").splitlines()


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"idleSeconds": 3}, "spec.idleSeconds: unknown field; did you mean scaling.idleSeconds?"),
        ({"Port": 3}, "spec.Port: unknown field; did you mean port?"),
        ({"hold": {"xyz": 3}}, "spec.hold.xyz: unknown field; known are maxRequests, maxSeconds"),
        ({"port": "80"}, "spec.port: must be an integer, not a string"),
        ({"port": True}, "spec.port: must be an integer, not true or false"),
        ({"port": 1.5}, "spec.port: must be an integer, not a number"),
        ({"port": 0}, "spec.port: must be at least 1, is 0"),
        ({"port": 70_000}, "spec.port: must be at most 65535, is 70000"),
        ({"protocol": "http3"}, "spec.protocol: must be one of http1, h2c; is 'http3'"),
        ({"runtime": 3}, "spec.runtime: must be a string, not an integer; put it in quotes"),
        ({"runtime": "p\n"}, r"spec.runtime: 'p\n' must match ^[a-z][-.a-z0-9]*$"),
        ({"serviceAccountName": ""}, "spec.serviceAccountName: must be at least 1 characters"),
        ({"env": {}}, "spec.env: must be a list, not an object"),
        ({"env": [{"value": "x"}]}, "spec.env[0].name: is required"),
        ({"env": None}, "spec.env: has no value; give one or remove the field"),
        ({"env": [{"name": "A"}, {"name": "A"}]}, "spec.env[1]: 'A' is there twice"),
        ({"nodeSelector": {"a": 1}},
         "spec.nodeSelector.a: must be a string, not an integer; put it in quotes"),
        ({"resources": {"limits": {"cpu": "a lot"}}}, "spec.resources.limits.cpu: 'a lot' must"),
        ({"scaling": {"provisioned": [{}]}}, "spec.scaling.provisioned[0].schedule: is required"),
    ],
)  # fmt: skip
def test_a_field_that_the_schema_refuses(tmp_path: Path, spec: dict[str, Any], told: str) -> None:
    [line] = problems(tmp_path, function(**spec))
    assert line.startswith(f"0.yaml, document 1: Function one: {told}")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"metadata": None}, "Function: metadata: has no value"),
        ({"metadata": "x"}, "Function: metadata: must be an object, not a string"),
        ({"metadata": {}}, "Function: metadata.name: is required"),
        ({"metadata": {"name": 3}}, "Function: metadata.name: must be a string, not an integer"),
        ({"metadata": {"name": "x", "labels": {"a": 1}}}, "Function x: metadata.labels.a: must be"),
        ({"metadata": {"name": "x", "anotations": {}}}, "did you mean annotations?"),
        ({"spec": None}, "Function one: spec: has no value"),
        ({"sepc": {}}, "Function one: sepc: unknown field; did you mean spec?"),
        ({"kind": "Functoin"}, "Functoin one: kind: must be Function"),
        (
            {
                "metadata": {"name": "x", "generation": 1.5, "resourceVersion": [], "uid": None},
                "x": 1,
            },
            "Function x: x: unknown field; known are apiVersion, kind, metadata, spec, status",
        ),
        ({"kind": None}, "not a Kubernetes object: it has no kind"),
        ({"apiVersion": "torpor.dev/v1"}, "Function one: apiVersion: must be torpor.dev/v1alpha1"),
    ],
)
def test_an_object_that_is_none(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    [line] = problems(tmp_path, {**function(), **change})
    assert line.startswith("0.yaml, document 1: ")
    assert told in line


def test_what_only_the_parser_knows_is_said_next_to_the_rest(tmp_path: Path) -> None:
    schema, parser = problems(tmp_path, function(port=0), function("two", image="x"))
    assert "spec.port" in schema
    assert parser.startswith("1.yaml: Function two: spec: give exactly one of image (a container")


@pytest.mark.parametrize(
    ("provisioned", "told"),
    [
        ({"schedule": "99 * * * *"}, "scaling.provisioned[0].schedule: '99 * * * *' is not a cron"),
        ({"schedule": "0 8 * * *", "timeZone": "Rome"}, "[0].timeZone: 'Rome' is not a time zone"),
    ],
)
def test_a_window_that_never_opens(tmp_path: Path, provisioned: dict[str, Any], told: str) -> None:
    [line] = problems(tmp_path, function(scaling={"provisioned": [provisioned]}))
    assert told in line


def test_what_the_rules_of_the_cluster_refuse(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        function("a" * 53),
        function("two", workload="Job", timeoutSeconds=60),
        function("three", env=[{"name": "TORPOR_X", "value": "1"}]),
    )
    told = ("at most 52", "timeoutSeconds goes with Service", "are set by Torpor")
    assert [text in line for text, line in zip(told, found, strict=True)] == 3 * [True]


def test_two_objects_of_one_name(tmp_path: Path) -> None:
    told = "0.yaml and 1.yaml: Function default/one is there twice"
    assert problems(tmp_path, function(), function()) == [told]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3", "0.yaml, line 3, column 1: not YAML: 'a' is there twice"),
        ("a:\n\tb: 1", "0.yaml, line 2, column 1: not YAML: found character"),
        ("kind: x\n? [a]\n: 1", "0.yaml, line 2, column 3: not YAML: found unhashable key"),
        ("[1, 2]", "0.yaml, document 1: not a Kubernetes object: it has no kind"),
        ("kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\ndata: {a: 1}",
         "0.yaml, document 1: ConfigMap a: data.a: must be a string, not an integer"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_read(tmp_path: Path, text: str, told: str) -> None:
    [line] = problems(tmp_path, text)
    assert line.startswith(told)


def test_a_folder_may_have_nothing_any_more(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    found = load_folder(tmp_path)
    assert found.is_empty


def test_config_maps_of_two_namespaces_are_two(tmp_path: Path) -> None:
    for space in ("a", "b"):
        code = {"configMap": "code"}
        meta = {"name": "code", "namespace": space}
        map_ = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
        map_ |= {"data": {"main.py": space}}
        body = function(code=code)
        body["metadata"]["namespace"] = space
        (tmp_path / f"{space}.yaml").write_text(json.dumps(map_) + "\n---\n" + json.dumps(body))
    entries = load_folder(tmp_path).functions
    files = [entries[FunctionKey(space, "one")].program.files for space in ("a", "b")]
    assert files == [{"main.py": "a"}, {"main.py": "b"}]


def test_other_kinds_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: Service\nanything: 3\n")
    (tmp_path / "b.yml").write_text(json.dumps(function()))
    assert list(load_folder(tmp_path).functions) == [FunctionKey("default", "one")]
