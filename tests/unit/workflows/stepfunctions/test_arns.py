"""Reading and writing ARNs."""

from __future__ import annotations

import pytest

from torpor.aws.errors import Refused
from torpor.workflows.stepfunctions.arns import (
    Kind,
    Place,
    execution_arn,
    express_arn,
    map_run_of,
    read_arn,
)

BASE = "arn:aws:states:eu-west-1:000000000000"


def test_a_machine() -> None:
    arn = read_arn(f"{BASE}:stateMachine:shop.order", Kind.MACHINE)
    assert (arn.name, arn.qualifier, arn.machine) == ("shop.order", None, arn.text)


@pytest.mark.parametrize(("qualifier", "is_version"), [("3", True), ("live", False)])
def test_a_version_or_alias(qualifier: str, is_version: bool) -> None:
    arn = read_arn(f"{BASE}:stateMachine:m:{qualifier}", Kind.MACHINE)
    assert arn.machine == f"{BASE}:stateMachine:m"
    assert (arn.qualifier, arn.is_version) == (qualifier, is_version)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m",
        BASE,
        f"{BASE}:stateMachine",
        f"{BASE}:stateMachine:",
        f"{BASE}:stateMachine:m:",
        f"{BASE}:stateMachine:m:1:2",
        f"{BASE}:activity:a",
        f"{BASE}:unknown:a",
        "arn:aws:sqs:eu-west-1:000000000000:q",
    ],
)
def test_what_is_no_machine(text: str) -> None:
    with pytest.raises(Refused) as refused:
        read_arn(text, Kind.MACHINE)
    assert refused.value.code == "InvalidArn"


def test_other_partitions() -> None:
    text = "arn:aws-cn:states:cn-north-1:1:activity:a"
    assert read_arn(text, Kind.ACTIVITY).name == "a"


def test_arns_are_made() -> None:
    machine = Place("eu-west-1").machine("m")
    assert machine == f"{BASE}:stateMachine:m"
    assert execution_arn(machine, "e") == f"{BASE}:execution:m:e"
    assert express_arn(machine, "e", "r") == f"{BASE}:express:m:e:r"


def test_a_child_knows_its_map_run() -> None:
    assert map_run_of(f"{BASE}:execution:m/Each:run:7") == f"{BASE}:mapRun:m/Each:run"
    assert map_run_of(f"{BASE}:execution:m:e") is None
