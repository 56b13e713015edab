"""What a Task calls, as its Resource says it."""

from __future__ import annotations

import pytest

from torpor.workflows.asl.resource import Pattern, Resource, function_name, parse_resource

LAMBDA = "arn:aws:lambda:eu-west-1:1:function:ship"


@pytest.mark.parametrize(
    ("text", "service", "name", "region", "pattern"),
    [
        (LAMBDA, "lambda", "ship", "eu-west-1", ""),
        (f"{LAMBDA}:live", "lambda", "ship", "eu-west-1", ""),
        ("arn:aws:lambda:ship", "lambda", "ship", "", ""),
        ("arn:aws:states:eu-west-1:1:activity:pack", "activity", "pack", "eu-west-1", ""),
        ("torpor:job:train", "job", "train", "", ""),
        ("torpor:job:train.sync", "job", "train", "", ".sync"),
    ],
)
def test_what_stands_in_the_cluster_is_called_directly(
    text: str, service: str, name: str, region: str, pattern: str
) -> None:
    found = parse_resource(text)
    assert found is not None
    assert (found.service, found.name, found.region) == (service, name, region)
    assert (found.pattern, found.direct) == (Pattern(pattern), True)


def test_an_integration_has_a_service_an_action_and_a_pattern() -> None:
    text = "arn:aws:states:::aws-sdk:sqs:sendMessage.waitForTaskToken"
    assert parse_resource(text) == Resource(text, "aws-sdk:sqs", "sendMessage", Pattern.TASK_TOKEN)


@pytest.mark.parametrize("text", ["", "ship", "arn:aws:s3:::bucket", "torpor:job:a.b"])
def test_what_has_none_of_the_forms_is_no_resource(text: str) -> None:
    assert parse_resource(text) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ship", "ship"),
        ("validateOrder", "validate-order"),
        ("HTTPCall", "http-call"),
        ("validate_order", "validate-order"),
        (LAMBDA, "ship"),
        ("ship:live", "ship"),
        ("", None),
        ("-ship", None),
        ("s" * 64, None),
    ],
)
def test_the_function_that_a_name_means(name: str, expected: str | None) -> None:
    assert function_name(name) == expected
