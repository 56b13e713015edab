"""The CRD of Triggers and the parser say the same, and every example is a valid Trigger."""

from __future__ import annotations

import contextlib
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.source_rig import world
from tests.unit.crds.schema import defaulted, nodes, problems
from torpor.errors import InvalidResource
from torpor.resources.http_route import claim_of
from torpor.resources.trigger import SourceKind, TargetKind, Trigger
from torpor.triggers.base import SourceMisconfigured
from torpor.triggers.broker.names import InvalidName, queue_stream
from torpor.triggers.sources.storage import open_source

ROOT = Path(__file__).resolve().parents[3]
CRD = yaml.safe_load((ROOT / "crds" / "triggers.yaml").read_text())
[VERSION] = CRD["spec"]["versions"]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
SPEC = SCHEMA["properties"]["spec"]
BUS = {"source": {"bus": {"name": "orders"}}, "target": {"function": {"name": "f"}}}
HTTP = {"source": {"http": {"path": "/a"}}, "target": {"function": {"name": "f"}}}
FULL = {
    **BUS,
    "filter": {"pattern": {"source": ["a"]}},
    "transform": {"input": {"a": "${data.a}"}},
    "batch": {},
    "ordering": {"key": "data.id"},
    "dedupe": {"key": "id"},
    "delivery": {"retryOn": [500], "circuitBreaker": {"fallback": {"queue": {"name": "q"}}}},
    "deadLetter": {"target": {"bus": {"name": "dead"}}},
}


def examples() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path in sorted((ROOT / "examples").rglob("*.y*ml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document and document.get("kind") == "Trigger":
                found.append((str(path.relative_to(ROOT)), document))
    return found


def parsed(spec: dict[str, Any], name: str = "x") -> Trigger:
    return Trigger.parse({"metadata": {"name": name, "namespace": "y"}, "spec": spec})


def at(path: str) -> dict[str, Any]:
    schema: dict[str, Any] = SPEC
    for name in path.split("."):
        schema = schema["properties"][name]
    return schema


@pytest.mark.parametrize("spec", [BUS, FULL])
def test_defaults_of_the_schema_are_those_of_the_parser(spec: dict[str, Any]) -> None:
    stored = defaulted(spec, SPEC)
    assert list(problems(stored, SPEC)) == []
    again, plain = parsed(stored), parsed(spec)
    assert {name: getattr(again, name) for name in READ} == {
        name: getattr(plain, name) for name in READ
    }


READ = [item.name for item in fields(Trigger) if item.name != "source"]


def test_the_address_of_an_http_source_is_the_same_with_the_schemas_defaults() -> None:
    meta = {"metadata": {"name": "x", "namespace": "y"}}
    plain, stored = (
        claim_of({**meta, "spec": HTTP}),
        claim_of({**meta, "spec": defaulted(HTTP, SPEC)}),
    )
    assert plain == stored
    assert plain is not None


def test_a_changed_default_would_be_noticed() -> None:
    stored = defaulted(BUS, SPEC)
    stored["delivery"] = {**stored["delivery"], "maxAttempts": 6}
    assert parsed(stored).delivery != parsed(BUS).delivery


def test_kinds_are_the_same() -> None:
    assert set(at("source")["properties"]) == set(SourceKind)
    assert set(at("target")["properties"]) == set(TargetKind)


@pytest.mark.parametrize(
    ("path", "low", "high"),
    [
        ("batch.size", 1, 10_000),
        ("batch.windowSeconds", 0, 300),
        ("dedupe.windowSeconds", 1, 604_800),
        ("delivery.timeoutSeconds", 0.1, 86_400),
        ("delivery.maxAttempts", 1, 1000),
        ("delivery.maxAgeSeconds", 60, 604_800),
        ("delivery.backoff.factor", 1, 10),
        ("delivery.circuitBreaker.failureRate", 0.01, 1),
    ],
)
def test_bounds_are_those_of_the_parser(path: str, low: float, high: float) -> None:
    assert (at(path)["minimum"], at(path)["maximum"]) == (low, high)
    for value in (low, high):
        parsed(_with(path, value))
    with pytest.raises(InvalidResource, match=path.rpartition(".")[2]):
        parsed(_with(path, high + 1))


def test_every_field_of_the_spec_is_read() -> None:
    names = {_snake(name) for name in SPEC["properties"]}
    own = {"key", "uid", "generation", "status"}
    read = {item.name for item in fields(Trigger)} - own
    assert names == {{"suspended": "suspend", "ordering_key": "ordering"}.get(n, n) for n in read}


def test_everything_is_bounded() -> None:
    for path, schema in nodes(SCHEMA):
        if path in ("", ".apiVersion", ".kind", ".metadata") or "enum" in schema:
            continue
        if schema.get("type") == "string" and "format" not in schema:
            assert "maxLength" in schema, path
        if schema.get("type") == "array":
            assert "maxItems" in schema, path
            assert "x-kubernetes-list-type" in schema, path
        if schema.get("type") == "integer" and "maximum" not in schema:
            assert "format" in schema, path


def test_only_what_is_data_may_be_anything() -> None:
    open_ended = {
        path for path, schema in nodes(SPEC) if schema.get("x-kubernetes-preserve-unknown-fields")
    }
    assert open_ended == {".filter.pattern", ".transform.input", ".source.schedule.data"}


def test_no_rule_looks_at_a_default_as_if_a_user_had_written_it() -> None:
    for path, schema in nodes(SPEC):
        rules = " ".join(rule["rule"] for rule in schema.get("x-kubernetes-validations", ()))
        for name, child in schema.get("properties", {}).items():
            if child.get("default") == {}:
                assert f"has(self.{name})" not in rules, f"{path}.{name}"


def test_no_rule_looks_at_what_cel_cannot_see() -> None:
    untyped = {
        path.rpartition(".")[2]
        for path, schema in nodes(SPEC)
        if "type" not in schema and "x-kubernetes-int-or-string" not in schema
    }
    rules = " ".join(
        rule["rule"]
        for _, schema in nodes(SCHEMA)
        for rule in schema.get("x-kubernetes-validations", ())
    )
    assert untyped == {"data", "input"}
    assert not [name for name in untyped if f"self.{name}" in rules]


def test_every_rule_says_what_to_do() -> None:
    for path, schema in nodes(SCHEMA):
        for rule in schema.get("x-kubernetes-validations", ()):
            assert len(rule["message"]) > 20, path


def test_columns_show_what_is_asked_for_first() -> None:
    shown = [item["name"] for item in VERSION["additionalPrinterColumns"] if "priority" not in item]
    assert shown == ["Ready", "Source", "Target", "Lag", "Dead", "Age"]
    assert CRD["spec"]["names"]["shortNames"] == ["tg"]


def test_the_status_has_a_place_for_everything_that_is_shown() -> None:
    told = SCHEMA["properties"]["status"]["properties"]
    paths = [item["jsonPath"] for item in VERSION["additionalPrinterColumns"]]
    wanted = {path.split(".")[2] for path in paths if path.startswith(".status.")}
    assert {name.partition("[")[0] for name in wanted} <= set(told)


WRONG = [
    ({"source": {}, "target": BUS["target"]}, "exactly one of http"),
    ({**BUS, "source": {**BUS["source"], "queue": {"name": "q"}}}, "exactly one of http"),
    ({**BUS, "target": {}}, "exactly one of function"),
    ({**BUS, "target": {"bus": {"name": "b"}}, "batch": {"size": 2}}, "takes events one by one"),
    ({**HTTP, "target": {"queue": {"name": "q"}}}, "nothing to answer with"),
    ({**HTTP, "dedupe": {"key": "id"}}, "are for events"),
    ({**HTTP, "source": {"http": {"path": "/function/a"}}}, "the gateway's own"),
    ({**HTTP, "source": {"http": {"path": "/a/../b"}}}, "must not have . or .."),
    (
        {**BUS, "source": {"queue": {"name": "a.fifo"}}, "ordering": {"key": "id"}},
        "keeps the order of each MessageGroupId",
    ),
    ({**BUS, "source": {"schedule": {}}}, "exactly one of cron"),
    ({**BUS, "source": {"schedule": {"every": "1m", "cron": "* * * * *"}}}, "exactly one of cron"),
    ({**BUS, "filter": {"pattern": {"a": [1]}, "cesql": "TRUE"}}, "pattern or cesql, not both"),
    (
        {**BUS, "delivery": {"backoff": {"initialSeconds": 9, "maxSeconds": 8}}},
        "initialSeconds must not be more than maxSeconds",
    ),
]


@pytest.mark.parametrize(("spec", "said"), WRONG, ids=[said for _, said in WRONG])
def test_the_parser_repeats_the_rules_in_the_same_words(spec: dict[str, Any], said: str) -> None:
    messages = " ".join(
        rule["message"]
        for _, schema in nodes(SCHEMA)
        for rule in schema.get("x-kubernetes-validations", ())
    )
    assert said in messages
    with pytest.raises(InvalidResource, match=said):
        parsed(spec)


@pytest.mark.parametrize(
    ("path", "taken"),
    [("/", True), ("/a.b", True), ("/.a", True), ("/...", True), ("/..b/c", True)]
    + [(path, False) for path in ("/.", "/..", "/a/.", "/a/..", "/./a", "/a/../b", "/a/./")],
)
def test_a_path_with_dots_is_refused_by_both_or_by_none(path: str, taken: bool) -> None:
    [rule] = [
        each["rule"]
        for each in at("source.http.path")["x-kubernetes-validations"]
        if "between its slashes" in each["message"]
    ]
    found = re.fullmatch(r"!self\.matches\('(.*)'\)", rule)
    assert found
    assert (re.search(found[1], path) is None) is taken
    assert _parses({**HTTP, "source": {"http": {"path": path}}}) is taken


@pytest.mark.parametrize(
    ("bucket", "taken"),
    [("photos", True), ("my.bucket-1", True), ("a" * 63, True)]
    + [(name, False) for name in ("../etc", "..", "a/b", "-a", "", "a b", "a" * 64, "a\n")],
)
def test_a_bucket_is_refused_by_both_or_by_none(bucket: str, taken: bool) -> None:
    schema = at("source.storage.bucket")
    by_schema = (
        schema["minLength"] <= len(bucket) <= schema["maxLength"]
        and re.search(schema["pattern"].removesuffix("$") + r"\Z", bucket) is not None
    )
    assert by_schema is taken
    assert _opens({"bucket": bucket}) is taken


@pytest.mark.parametrize(
    ("name", "taken"),
    [("jobs", True), ("Jobs_2", True), ("jobs.fifo", True), ("a" * 80, True)]
    + [(name, False) for name in ("a.b", ".fifo", "a.fifo.fifo", "a b", "a" * 81, "")],
)
def test_a_queue_is_refused_by_both_or_by_none(name: str, taken: bool) -> None:
    for schema in (at("source.queue.name"), at("target.queue.name")):
        by_schema = schema["minLength"] <= len(name) <= schema["maxLength"] and re.search(
            schema["pattern"], name
        )
        assert bool(by_schema) is taken
    with contextlib.ExitStack() as stack:
        if not taken:
            stack.enter_context(pytest.raises(InvalidName))
        queue_stream("shop", name)


def _parses(spec: dict[str, Any]) -> bool:
    try:
        return bool(parsed(spec))
    except InvalidResource:
        return False


def _opens(storage: dict[str, Any]) -> bool:
    try:
        return bool(open_source(parsed({**BUS, "source": {"storage": storage}}), world()))
    except SourceMisconfigured:
        return False


def test_a_query_is_refused_where_requests_bring_their_own() -> None:
    target = {"function": {"name": "f", "path": "/?a"}}
    assert parsed({**BUS, "target": target}).target.path == "/?a"
    with pytest.raises(InvalidResource, match="bring their own query"):
        parsed({**HTTP, "target": target})


@pytest.mark.parametrize("name", ["a.b", "A", "1a", "a" * 53])
def test_names_that_no_stream_can_have_are_refused(name: str) -> None:
    with pytest.raises(InvalidResource, match=r"metadata\.name"):
        parsed(BUS, name)


def test_a_default_that_is_stored_is_no_filter() -> None:
    assert parsed({**HTTP, "filter": {}, "transform": {}}).filter.pattern is None


@pytest.mark.parametrize(("path", "document"), examples())
def test_every_example_is_valid(path: str, document: dict[str, Any]) -> None:
    stored = defaulted(document["spec"], SPEC)
    assert list(problems(stored, SPEC, "spec")) == []
    assert Trigger.parse({**document, "spec": stored}).target.name


def _with(path: str, value: float) -> dict[str, Any]:
    spec: dict[str, Any] = {**BUS, "dedupe": {"key": "id"}} if "dedupe" in path else dict(BUS)
    inner = spec
    *parents, name = path.split(".")
    for parent in parents:
        inner[parent] = dict(inner.get(parent, {}))
        inner = inner[parent]
    inner[name] = value
    return spec


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
