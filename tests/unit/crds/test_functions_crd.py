"""The CRD and the parser say the same, and every example is a valid Function."""

from __future__ import annotations

from dataclasses import fields, replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.crds.schema import defaulted, nodes, problems
from torpor.errors import InvalidResource
from torpor.resources.function import Function, Payload, Protocol
from torpor.resources.load import PHASES

ROOT = Path(__file__).resolve().parents[3]
CRD = yaml.safe_load((ROOT / "crds" / "functions.yaml").read_text())
[VERSION] = CRD["spec"]["versions"]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
SPEC = SCHEMA["properties"]["spec"]
STATUS = SCHEMA["properties"]["status"]
RUNTIME = {"runtime": "python3", "handler": "main.handler", "code": {"inline": "x"}}


def examples() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path in sorted((ROOT / "examples").rglob("*.y*ml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document and document.get("kind") == "Function":
                found.append((str(path.relative_to(ROOT)), document))
    return found


def parsed(spec: dict[str, Any]) -> Function:
    return Function.parse({"metadata": {"name": "x", "namespace": "y"}, "spec": spec})


@pytest.mark.parametrize("spec", [{"image": "x:1"}, RUNTIME])
def test_defaults_of_the_schema_are_those_of_the_parser(spec: dict[str, Any]) -> None:
    stored = defaulted(spec, SPEC)
    assert list(problems(stored, SPEC)) == []
    assert parsed(stored) == parsed(spec)


def test_a_provisioned_window_has_the_same_defaults() -> None:
    spec = {"image": "x:1", "scaling": {"provisioned": [{"schedule": "0 8 * * *"}]}}
    assert parsed(defaulted(spec, SPEC)) == parsed(spec)


def test_a_changed_default_would_be_noticed() -> None:
    stored = defaulted({"image": "x:1"}, SPEC)
    changed = parsed({**stored, "timeoutSeconds": stored["timeoutSeconds"] + 1})
    assert changed != parsed({"image": "x:1"})


@pytest.mark.parametrize(("name", "kind"), [("protocol", Protocol), ("payload", Payload)])
def test_choices_are_the_same(name: str, kind: type[Enum]) -> None:
    assert SPEC["properties"][name]["enum"] == [item.value for item in kind]


@pytest.mark.parametrize(
    ("handler", "fits"),
    [
        ("main.handler", True),
        ("index.handler", True),
        ("src/index.handler", True),
        ("src/handlers/get-item.handler", True),
        ("package.module.function", True),
        ("handler", False),
        ("../main.handler", False),
        ("/main.handler", False),
        ("src//main.handler", False),
        ("main.", False),
    ],
)
def test_a_handler_is_a_module_maybe_in_folders_and_a_function(handler: str, fits: bool) -> None:
    wrong = list(problems({**RUNTIME, "handler": handler}, SPEC))
    assert (not wrong) == fits


@pytest.mark.parametrize(
    "url",
    ["https://h/c.zip", "http://h:80/c.tgz?X-Amz-Signature=a%2Fb", "https://h", "http://h?x=a@b"],
)
def test_an_archive_may_be_at_any_address_of_the_web(url: str) -> None:
    code = parsed({**RUNTIME, "code": archive(url=url)}).code
    assert code is not None
    assert code.archive is not None
    assert code.archive.url == url


_NAMED_OTHERWISE = {"asynchronous": "async"}
"""`async` is a word of Python's own."""
_PARSED = {_NAMED_OTHERWISE.get(item.name, item.name) for item in fields(Function)}
_NOT_IN_SPEC = {"key", "uid", "generation", "labels", "status"}


def test_every_field_of_the_spec_is_read() -> None:
    names = {_snake(name) for name in SPEC["properties"]} - {"startup", "workload"}
    assert names == _PARSED - _NOT_IN_SPEC - {"announcer"}


@pytest.mark.parametrize(
    ("path", "low", "high"),
    [
        ("port", 1, 65535),
        ("timeoutSeconds", 1, 3600),
        ("startupTimeoutSeconds", 1, 1800),
        ("scaling.windowSeconds", 2, 3600),
        ("scaling.burstWindowSeconds", 1, 600),
        ("hold.maxRequests", 1, 1_000_000),
        ("hold.maxSeconds", 1, 1800),
        ("async.maxAttempts", 1, 1000),
        ("async.maxAgeSeconds", 60, 21_600),
        ("job.parallelism", 1, 1000),
        ("job.completions", 1, 10_000),
        ("job.timeoutSeconds", 1, 2_592_000),
        ("job.retries.perIndex", 0, 100),
        ("job.ttlSeconds", 60, 2_592_000),
        ("job.checkpoint.intervalSeconds", 1, 86_400),
        ("job.spot.graceSeconds", 1, 3600),
        ("job.gpu.count", 1, 16),
    ],
)
def test_bounds_are_those_of_the_parser(path: str, low: int, high: int) -> None:
    schema = SPEC
    for name in path.split("."):
        schema = schema["properties"][name]
    assert (schema["minimum"], schema["maximum"]) == (low, high)


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


def test_every_rule_says_what_to_do() -> None:
    for path, schema in nodes(SCHEMA):
        for rule in schema.get("x-kubernetes-validations", ()):
            assert len(rule["message"]) > 20, path


def archive(**changed: str) -> dict[str, Any]:
    return {"archive": {"url": "https://host/code.zip", "sha256": "a" * 64, **changed}}


def empty(name: str, place: str) -> dict[str, Any]:
    return {"name": name, "mountPath": place, "emptyDir": {}}


IMAGE: dict[str, Any] = {"image": "x:1"}
JOB: dict[str, Any] = {**IMAGE, "workload": "Job"}
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("a" * 53, IMAGE),
    ("1a", IMAGE),
    ("a.b", IMAGE),
    ("x", {}),
    ("x", {"image": "x", **RUNTIME}),
    ("x", {key: RUNTIME[key] for key in ("runtime", "handler")}),
    ("x", {key: RUNTIME[key] for key in ("runtime", "code")}),
    ("x", {**IMAGE, "code": {"inline": "x"}}),
    ("x", {**IMAGE, "handler": "main.handler"}),
    ("x", {**RUNTIME, "command": ["x"]}),
    ("x", {**RUNTIME, "args": []}),
    ("x", {**RUNTIME, "protocol": "h2c"}),
    ("x", {**RUNTIME, "code": {}}),
    ("x", {**RUNTIME, "code": {"inline": "x", "configMap": "x"}}),
    ("x", {**IMAGE, "workload": "Batch"}),
    ("x", {**IMAGE, "job": {}}),
    ("x", {**RUNTIME, "runtime": "nodejs", "workload": "Job"}),
    ("x", {**JOB, "port": 81}),
    ("x", {**JOB, "readinessProbe": {"tcpSocket": {}}}),
    ("x", {**JOB, "gpu": {}}),
    ("x", {**JOB, "timeoutSeconds": 31}),
    ("x", {**JOB, "scaling": {"initialReplicas": 1}}),
    ("x", {**JOB, "async": {"onSuccess": {"queue": {"name": "q"}}}}),
    ("x", {**JOB, "job": {"parallelism": 2}}),
    ("x", {**JOB, "job": {"checkpoint": {}}}),
    ("x", {**JOB, "job": {"checkpoint": {"store": "http://host/x"}}}),
    ("x", {**JOB, "job": {"checkpoint": {"volume": "work"}}}),
    (
        "x",
        {**JOB, "job": {"gpu": {}}, "resources": {"limits": {"nvidia.com/gpu": 1}}},
    ),
    ("x", {**IMAGE, "payload": "lambda"}),
    ("x", {**RUNTIME, "code": archive(url="ftp://host/code.zip")}),
    ("x", {**RUNTIME, "code": archive(url="https://me:secret@host/code.zip")}),
    ("x", {**RUNTIME, "code": archive(sha256="A" * 64)}),
    ("x", {**RUNTIME, "livenessProbe": {"tcpSocket": {}}}),
    ("x", {**IMAGE, "readinessProbe": {"periodSeconds": 2}}),
    ("x", {**IMAGE, "gpu": {}, "resources": {"limits": {"nvidia.com/gpu": 1}}}),
    ("x", {**IMAGE, "volumes": [{"name": "a", "mountPath": "/a"}]}),
    ("x", {**IMAGE, "volumes": [empty("code", "/a")]}),
    ("x", {**IMAGE, "volumes": [empty("a", "a/b")]}),
    ("x", {**IMAGE, "volumes": [empty("a", "/a/../b")]}),
    ("x", {**IMAGE, "volumes": [empty("a", "/var/torpor/code")]}),
    ("x", {**IMAGE, "volumes": [empty("a", "/a"), empty("b", "/a")]}),
    ("x", {**IMAGE, "env": [{"name": "PORT", "value": "1"}]}),
    ("x", {**IMAGE, "env": [{"name": "A"}, {"name": "TORPOR_X"}]}),
    ("x", {**IMAGE, "env": [{"name": "A", "value": "", "valueFrom": {"fieldRef": {}}}]}),
    ("x", {**IMAGE, "env": [{"name": "A", "valueFrom": {}}]}),
    ("x", {**IMAGE, "envFrom": [{}]}),
    ("x", {**IMAGE, "scaling": {"minReplicas": 3, "maxReplicas": 2}}),
    ("x", {**IMAGE, "scaling": {"initialReplicas": 21}}),
    ("x", {**IMAGE, "scaling": {"burstWindowSeconds": 61}}),
    ("x", {**IMAGE, "scaling": {"warm": "pool"}}),
    ("x", {**IMAGE, "async": {"onSuccess": {}}}),
    ("x", {**IMAGE, "scaling": {"concurrency": {"target": 5, "limit": 4}}}),
]


def test_the_parser_refuses_what_the_rules_refuse_in_the_same_words() -> None:
    rules = [
        rule
        for _, schema in nodes(SCHEMA)
        for rule in schema.get("x-kubernetes-validations", ())
        if "oldSelf" not in rule["rule"]
    ]
    told = set()
    for name, spec in REFUSED:
        with pytest.raises(InvalidResource) as refused:
            Function.parse({"metadata": {"name": name, "namespace": "y"}, "spec": spec})
        told.add(refused.value.problem)
    assert told == {rule["message"] for rule in rules}


def test_a_nul_that_no_process_could_get_is_refused() -> None:
    for spec in ({"env": [{"name": "A", "value": "a\0b"}]}, {"command": ["a\0"]}):
        with pytest.raises(InvalidResource, match="NUL"):
            parsed({**IMAGE, **spec})


def test_the_status_has_a_place_for_every_phase() -> None:
    phases = STATUS["properties"]["coldStart"]["properties"]["last"]["properties"]
    assert list(phases) == ["total", *PHASES]


def test_scale_and_columns_point_into_the_schema() -> None:
    scale = VERSION["subresources"]["scale"]
    for path in scale.values():
        schema = SCHEMA
        for name in path.strip(".").split("."):
            schema = schema["properties"][name]
    shown = [item["name"] for item in VERSION["additionalPrinterColumns"] if "priority" not in item]
    assert shown == ["Ready", "Active", "Replicas", "URL", "Age"]


@pytest.mark.parametrize(("path", "document"), examples())
def test_every_example_is_valid(path: str, document: dict[str, Any]) -> None:
    stored = defaulted(document["spec"], SPEC)
    assert list(problems(stored, SPEC, "spec")) == []
    function = Function.parse({**document, "spec": stored})
    assert replace(function, labels={}).key.name == document["metadata"]["name"]


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
