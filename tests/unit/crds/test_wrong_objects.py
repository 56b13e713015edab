"""What the API server must refuse, the schemas and the parsers here refuse as well.

tests/cluster/test_wrong_objects.py shows the same objects to an API server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.wrong_objects import BUS, DEFINITION, IMAGE, RUNTIME, WRONG, Wrong
from tests.unit.crds.schema import defaulted, nodes, problems
from torpor.errors import InvalidResource
from torpor.resources.function import Function
from torpor.resources.trigger import Trigger
from torpor.resources.workflow import Workflow

ROOT = Path(__file__).resolve().parents[3]
PARSERS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "Function": Function.parse,
    "Workflow": Workflow.parse,
    "Trigger": Trigger.parse,
}


LEFT_TO_IT = ("StartAt must be", "at most 52 characters", "part of the machine's name")
"""Of a Workflow: what no reader here repeats, as the engine checks definitions and names."""


def schema(kind: str) -> Mapping[str, Any]:
    crd = yaml.safe_load((ROOT / "crds" / f"{kind.lower()}s.yaml").read_text())
    [version] = crd["spec"]["versions"]
    found: Mapping[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


def refusals(kind: str, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is said against an object: by the schema, else by the parser."""
    spec = schema(kind)["properties"]["spec"]
    stored = defaulted(manifest["spec"], spec)
    wrong = list(problems(stored, spec, "spec"))
    yield from wrong
    if not wrong:
        try:
            PARSERS[kind]({**manifest, "metadata": {**manifest["metadata"], "namespace": "y"}})
        except InvalidResource as refused:
            yield str(refused)


def test_there_are_enough_of_each() -> None:
    counts = Counter(wrong.kind for wrong in WRONG)
    assert counts["Function"] >= 40
    assert min(counts.values()) >= 8


def is_repeated(wrong: Wrong) -> bool:
    return not wrong.was and not (wrong.kind == "Workflow" and wrong.said.startswith(LEFT_TO_IT))


@pytest.mark.parametrize("wrong", [item for item in WRONG if is_repeated(item)], ids=str)
def test_it_is_refused_here_too(wrong: Wrong) -> None:
    assert list(refusals(wrong.kind, wrong.manifest(wrong.spec)))


@pytest.mark.parametrize("wrong", [item for item in WRONG if item.was], ids=str)
def test_only_the_change_is_refused(wrong: Wrong) -> None:
    assert not list(refusals(wrong.kind, wrong.manifest(wrong.spec)))
    assert not list(refusals(wrong.kind, wrong.manifest(wrong.was)))


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Function", IMAGE),
        ("Function", RUNTIME),
        ("Workflow", {"definition": DEFINITION}),
        ("Trigger", BUS),
    ],
)
def test_what_they_are_made_from_is_right(kind: str, spec: Mapping[str, Any]) -> None:
    assert not list(refusals(kind, Wrong(kind, spec, "").manifest(spec)))


@pytest.mark.parametrize("kind", PARSERS)
def test_every_rule_has_an_object_that_it_refuses(kind: str) -> None:
    said = [wrong.said for wrong in WRONG if wrong.kind == kind]
    silent = [
        rule["message"]
        for _, part in nodes(schema(kind))
        for rule in part.get("x-kubernetes-validations", ())
        if not any(text in rule["message"] for text in said)
    ]
    assert silent == []
