"""The fields of a CreateStateMachine request other than the definition."""

from __future__ import annotations

from typing import Any

import pytest

from torpor.workflows.request_rules import (
    check_logging,
    check_name,
    check_version_description,
)
from torpor.workflows.stepfunctions.shapes import DEFINITION

GROUP = {"cloudWatchLogsLogGroup": {"logGroupArn": "arn:aws:logs:eu-west-1:1:log-group:a:*"}}


@pytest.mark.parametrize(
    "configuration",
    [
        {"level": "ALL"},
        {"level": "ERROR", "destinations": []},
        {"level": "OFF", "destinations": [GROUP, GROUP]},
    ],
)
def test_logging_has_one_destination(configuration: dict[str, Any]) -> None:
    refusal = check_logging(configuration)
    assert refusal is not None
    assert refusal.code == "InvalidLoggingConfiguration"


@pytest.mark.parametrize(
    "configuration",
    [None, {}, {"level": "OFF", "destinations": []}, {"level": "FATAL", "destinations": [GROUP]}],
)
def test_logging_may_be_off(configuration: dict[str, Any] | None) -> None:
    assert check_logging(configuration) is None


def test_an_unknown_level_is_a_validation_error() -> None:
    refusal = check_logging({"level": "SOME", "destinations": [GROUP]})
    assert refusal is not None
    assert refusal.code == "ValidationException"
    assert "[ALL, ERROR, FATAL, OFF]" in refusal.message


def test_only_a_published_version_is_described() -> None:
    assert check_version_description(None, None) is None
    assert check_version_description(True, "first") is None
    assert check_version_description(False, "first") is not None


@pytest.mark.parametrize(
    ("length", "is_served"), [(0, False), (1, True), (1_048_576, True), (1_048_577, False)]
)
def test_a_definition_has_a_length(length: int, is_served: bool) -> None:
    assert (list(DEFINITION.check("x" * length, "definition")) == []) == is_served


@pytest.mark.parametrize(
    ("name", "is_served"),
    [("orders", True), ("a.b_c-D9", True), ("", False), ("x" * 81, False), ("a b", False)],
)
def test_a_name_is_short_and_plain(name: str, is_served: bool) -> None:
    assert (check_name(name) is None) == is_served
