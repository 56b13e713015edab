"""The page on the States Language names all that there is, and nothing else of its kind."""

from __future__ import annotations

import re

from tests.docs.library import ROOT
from torpor.workflows.asl.validate.document import MAX_DEPTH, MAX_SIZE_BYTES
from torpor.workflows.engine.integrations.supported import ACTIONS as INTEGRATIONS
from torpor.workflows.stepfunctions.server import ACTIONS as CALLS

PAGE = (ROOT / "docs/reference/states-language.md").read_text()
_OF_RESOURCES_OWN = {"activity", "job", "aws-sdk:s3"}


def section(name: str) -> str:
    return re.split(r"^## ", PAGE.partition(f"## {name}\n")[2], flags=re.MULTILINE)[0]


def test_every_call_of_the_api_is_named_and_no_other() -> None:
    [*lists] = [
        line for line in section("Calls of the API").splitlines() if line[:2] in ("- ", "  ")
    ]
    named = re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]*)+\b", "\n".join(lists))
    assert sorted(named) == sorted(CALLS)


def test_every_integration_is_named() -> None:
    table = section("Resources of a Task")
    for service in INTEGRATIONS.keys() - _OF_RESOURCES_OWN:
        for action in INTEGRATIONS[service]:
            assert action in table, f"{service}:{action}"
        assert f"{service}:" in table, service


def test_the_limits_of_a_definition_are_those_that_are_checked() -> None:
    assert f"{MAX_SIZE_BYTES >> 20} MiB, and {MAX_DEPTH} levels" in section("Limits")
