"""State machines, versions, aliases and tags, as a boto3 client sees them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests.support.postgres import needs_postgres
from tests.support.stepfunctions_rig import ROLE, Rig
from tests.support.stepfunctions_whole import Whole, serving_whole

pytestmark = needs_postgres
PASS = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
OTHER = json.dumps({"StartAt": "B", "States": {"B": {"Type": "Pass", "End": True}}})


@pytest.fixture
async def api() -> AsyncIterator[Whole]:
    async with serving_whole() as rig:
        yield rig


async def create(api: Rig, name: str = "m", definition: str = PASS, **more: Any) -> str:
    answer = await api(
        "create_state_machine", name=name, definition=definition, roleArn=ROLE, **more
    )
    return str(answer["stateMachineArn"])


async def test_a_machine_is_created_and_described(api: Rig) -> None:
    arn = await create(api)
    found = await api("describe_state_machine", stateMachineArn=arn)
    found.pop("creationDate")
    assert found == {
        "stateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:m",
        "name": "m",
        "status": "ACTIVE",
        "definition": PASS,
        "roleArn": ROLE,
        "type": "STANDARD",
        "loggingConfiguration": {"level": "OFF", "includeExecutionData": False},
        "tracingConfiguration": {"enabled": False},
        "encryptionConfiguration": {"type": "AWS_OWNED_KEY"},
    }


async def test_metadata_only_leaves_the_definition_out(api: Rig) -> None:
    arn = await create(api)
    found = await api("describe_state_machine", stateMachineArn=arn, includedData="METADATA_ONLY")
    assert "definition" not in found


async def test_the_variables_that_states_refer_to(api: Rig) -> None:
    inner = {"Type": "Pass", "Assign": {"s.$": "States.MathAdd($b, $$.n)"}, "End": True}
    states = {
        "A": {"Type": "Pass", "Assign": {"a": 1, "b": 2}, "Parameters": {"x": "$a"}, "Next": "B"},
        "B": {"Type": "Choice", "Choices": [{"Variable": "$b", "IsNull": True, "Next": "C"}]},
        "C": {
            "Type": "Pass",
            "QueryLanguage": "JSONata",
            "Output": "{% $sum([$b, $a.x]) & '$s' %}",
            "Next": "D",
        },
        "D": {
            "Type": "Map",
            "ItemProcessor": {"StartAt": "E", "States": {"E": inner}},
            "End": True,
        },
    }
    arn = await create(api, definition=json.dumps({"StartAt": "A", "States": states}))
    found = await api("describe_state_machine", stateMachineArn=arn)
    assert found["variableReferences"] == {"B": ["b"], "C": ["a", "b"], "E": ["b"]}


async def test_the_same_machine_can_be_created_again(api: Rig) -> None:
    first = await api("create_state_machine", name="m", definition=PASS, roleArn=ROLE)
    assert await api("create_state_machine", name="m", definition=PASS, roleArn=ROLE) == first


@pytest.mark.parametrize(
    "change",
    [
        {"definition": OTHER},
        {"type": "EXPRESS"},
        {"tracingConfiguration": {"enabled": True}},
        {"loggingConfiguration": {"level": "OFF", "includeExecutionData": True}},
    ],
)
async def test_another_machine_of_the_name_is_refused(api: Rig, change: dict[str, Any]) -> None:
    arn = await create(api)
    request = {"name": "m", "definition": PASS, "roleArn": ROLE, **change}
    refused = await api.refusal("create_state_machine", **request)
    assert refused == ("StateMachineAlreadyExists", f"State Machine Already Exists: '{arn}'")


async def test_an_update_makes_a_revision(api: Rig) -> None:
    arn = await create(api)
    updated = await api("update_state_machine", stateMachineArn=arn, definition=OTHER)
    found = await api("describe_state_machine", stateMachineArn=arn)
    assert (found["definition"], found["revisionId"]) == (OTHER, updated["revisionId"])


async def test_an_update_that_changes_nothing_makes_none(api: Rig) -> None:
    arn = await create(api)
    first = await api("update_state_machine", stateMachineArn=arn, definition=OTHER)
    assert await api("update_state_machine", stateMachineArn=arn, definition=OTHER) == first


async def test_an_update_of_nothing_is_refused(api: Rig) -> None:
    arn = await create(api)
    assert (await api.refusal("update_state_machine", stateMachineArn=arn))[
        0
    ] == "MissingRequiredParameter"


@pytest.mark.parametrize(
    ("call", "arn", "expected"),
    [
        ("describe_state_machine", "no-arn", ("InvalidArn", "Invalid ARN prefix: no-arn")),
        (
            "describe_state_machine",
            "arn:aws:states:us-east-1:000000000000:execution:m:e",
            ("InvalidArn", "Resource type not valid in this context: execution"),
        ),
        (
            "start_execution",
            "arn:aws:lambda:us-east-1:000000000000:function:f",
            ("InvalidArn", "Service not valid in this context: lambda"),
        ),
    ],
)
async def test_wrong_arns(api: Rig, call: str, arn: str, expected: tuple[str, str]) -> None:
    code, message = expected
    refused = await api.refusal(call, stateMachineArn=arn)
    assert refused == (code, f"Invalid Arn: '{message}'")


@pytest.mark.parametrize("call", ["describe_state_machine", "start_execution", "list_executions"])
async def test_a_machine_that_is_not_there(api: Rig, call: str) -> None:
    arn = "arn:aws:states:us-east-1:000000000000:stateMachine:nobody"
    refused = await api.refusal(call, stateMachineArn=arn)
    assert refused == ("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")


async def test_a_bad_name_is_refused(api: Rig) -> None:
    refused = await api.refusal("create_state_machine", name="a b", definition=PASS, roleArn=ROLE)
    assert refused == ("InvalidName", "Invalid Name: 'a b'")


async def test_all_that_is_wrong_with_a_request_is_told_at_once(api: Rig) -> None:
    code, message = await api.refusal(
        "create_state_machine", name="n" * 81, definition=PASS, roleArn="r" * 257
    )
    assert code == "ValidationException"
    assert message == (
        f"2 validation errors detected: Value '{'n' * 81}' at 'name' failed to satisfy constraint: "
        f"Member must have length less than or equal to 80; Value '{'r' * 257}' at 'roleArn' "
        "failed to satisfy constraint: Member must have length less than or equal to 256"
    )


async def test_an_unknown_resource_names_its_state(api: Rig) -> None:
    state = {"Type": "Task", "Resource": "arn:aws:nothing:at:all", "End": True}
    definition = json.dumps({"StartAt": "Do", "States": {"Do": state}})
    code, message = await api.refusal(
        "create_state_machine", name="m", definition=definition, roleArn=ROLE
    )
    assert code == "InvalidDefinition"
    assert "/States/Do/Resource" in message


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ("arn:aws:states:::dynamodb:putItem", "Service 'dynamodb' is not supported"),
        ("arn:aws:states:::s3:deleteBucket", "Action 's3:deleteBucket' is not supported"),
    ],
)
async def test_a_service_that_nothing_runs_is_refused(api: Rig, resource: str, reason: str) -> None:
    arn = await create(api)
    state = {"Type": "Task", "Resource": resource, "End": True}
    definition = json.dumps({"StartAt": "Do", "States": {"Do": state}})
    created = await api.refusal(
        "create_state_machine", name="n", definition=definition, roleArn=ROLE
    )
    updated = await api.refusal("update_state_machine", stateMachineArn=arn, definition=definition)
    for code, message in (created, updated):
        assert code == "InvalidDefinition"
        assert reason in message
    answer = await api("validate_state_machine_definition", definition=definition)
    (found,) = answer["diagnostics"]
    assert found["location"] == "/States/Do/Resource"
    assert found["message"].startswith(reason)


async def test_machines_are_listed_in_pages(api: Rig) -> None:
    for number in range(5):
        await create(api, f"m{number}")
    first = await api("list_state_machines", maxResults=3)
    rest = await api("list_state_machines", maxResults=3, nextToken=first["nextToken"])
    names = [one["name"] for one in first["stateMachines"] + rest["stateMachines"]]
    assert names == ["m0", "m1", "m2", "m3", "m4"]
    assert "nextToken" not in rest


async def test_a_forged_page_token_is_refused(api: Rig) -> None:
    refused = await api.refusal("list_state_machines", nextToken="Zm9yZ2Vk")
    assert refused == ("InvalidToken", "Invalid Token: 'Invalid token'")


async def test_pages_have_a_most(api: Rig) -> None:
    assert await api.refusal("list_state_machines", maxResults=1001) == (
        "ValidationException",
        "1 validation error detected: Value '1001' at 'maxResults' failed to satisfy constraint: "
        "Member must have value less than or equal to 1000",
    )


async def test_a_machine_can_be_deleted_twice(api: Rig) -> None:
    arn = await create(api)
    assert await api("delete_state_machine", stateMachineArn=arn) == {}
    assert await api("delete_state_machine", stateMachineArn=arn) == {}
    assert (await api.refusal("describe_state_machine", stateMachineArn=arn))[0] == (
        "StateMachineDoesNotExist"
    )


async def test_a_machine_with_running_executions_is_deleting(api: Rig) -> None:
    wait = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": True}}}
    arn = await create(api, definition=json.dumps(wait))
    await api("start_execution", stateMachineArn=arn)
    await api("delete_state_machine", stateMachineArn=arn)
    found = await api("describe_state_machine", stateMachineArn=arn)
    assert found["status"] == "DELETING"
    assert (await api.refusal("start_execution", stateMachineArn=arn))[0] == "StateMachineDeleting"


async def test_versions_are_published_and_described(api: Rig) -> None:
    created = await api(
        "create_state_machine",
        name="m",
        definition=PASS,
        roleArn=ROLE,
        publish=True,
        versionDescription="the first",
    )
    arn = created["stateMachineArn"]
    assert created["stateMachineVersionArn"] == f"{arn}:1"
    updated = await api("update_state_machine", stateMachineArn=arn, definition=OTHER, publish=True)
    assert updated["stateMachineVersionArn"] == f"{arn}:2"
    first = await api("describe_state_machine", stateMachineArn=f"{arn}:1")
    assert (first["stateMachineArn"], first["definition"]) == (f"{arn}:1", PASS)
    assert first["description"] == "the first"
    listed = await api("list_state_machine_versions", stateMachineArn=arn)
    arns = [one["stateMachineVersionArn"] for one in listed["stateMachineVersions"]]
    assert arns == [f"{arn}:2", f"{arn}:1"]


async def test_a_revision_that_is_gone_by_is_not_published(api: Rig) -> None:
    arn = await create(api)
    old = await api("update_state_machine", stateMachineArn=arn, definition=OTHER)
    new = await api("update_state_machine", stateMachineArn=arn, definition=PASS)
    refused = await api.refusal(
        "publish_state_machine_version", stateMachineArn=arn, revisionId=old["revisionId"]
    )
    assert refused == (
        "ConflictException",
        "Failed to publish the State Machine version for revision "
        f"{old['revisionId']}. The current State Machine revision is {new['revisionId']}.",
    )


async def test_the_same_revision_is_one_version(api: Rig) -> None:
    arn = await create(api)
    first = await api("publish_state_machine_version", stateMachineArn=arn)
    again = await api("publish_state_machine_version", stateMachineArn=arn, revisionId="INITIAL")
    assert first == again


async def alias(api: Rig, *routes: tuple[str, int], name: str = "live") -> str:
    routing = [{"stateMachineVersionArn": arn, "weight": weight} for arn, weight in routes]
    answer = await api("create_state_machine_alias", name=name, routingConfiguration=routing)
    return str(answer["stateMachineAliasArn"])


async def two_versions(api: Rig) -> tuple[str, str, str]:
    arn = await create(api, publish=True)
    await api("update_state_machine", stateMachineArn=arn, definition=OTHER, publish=True)
    return arn, f"{arn}:1", f"{arn}:2"


async def test_an_alias_shares_starts_out_by_weight(api: Rig) -> None:
    arn, one, two = await two_versions(api)
    live = await alias(api, (one, 75), (two, 25))
    for _ in range(60):
        await api("start_execution", stateMachineArn=live)
    executions = (await api("list_executions", stateMachineArn=live))["executions"]
    versions = [execution["stateMachineVersionArn"] for execution in executions]
    assert len(versions) == 60
    assert 30 <= versions.count(one) <= 57
    assert {execution["stateMachineArn"] for execution in executions} == {arn}


async def test_an_alias_is_described_and_changed(api: Rig) -> None:
    _, one, two = await two_versions(api)
    live = await alias(api, (one, 100))
    routing = [{"stateMachineVersionArn": two, "weight": 100}]
    await api(
        "update_state_machine_alias",
        stateMachineAliasArn=live,
        routingConfiguration=routing,
        description="d",
    )
    found = await api("describe_state_machine_alias", stateMachineAliasArn=live)
    assert (found["routingConfiguration"], found["description"]) == (routing, "d")
    assert found["name"] == "live"


async def test_an_alias_that_is_created_differently_is_in_conflict(api: Rig) -> None:
    _, one, two = await two_versions(api)
    assert await alias(api, (one, 100)) == await alias(api, (one, 100))
    routing = [{"stateMachineVersionArn": two, "weight": 100}]
    refused = await api.refusal(
        "create_state_machine_alias", name="live", routingConfiguration=routing
    )
    assert refused[0] == "ConflictException"


async def test_routes_must_make_sense(api: Rig) -> None:
    arn, one, two = await two_versions(api)

    async def refused(*routes: tuple[str, int]) -> str:
        routing = [{"stateMachineVersionArn": text, "weight": weight} for text, weight in routes]
        code, message = await api.refusal(
            "create_state_machine_alias", name="x", routingConfiguration=routing
        )
        assert code == "ValidationException"
        return message

    assert await refused((one, 70), (two, 29)) == (
        "Sum of routing configuration weights must equal 100. Received: [70, 29]"
    )
    assert await refused((one, 50), (one, 50)) == (
        "Routing configuration must contain distinct state machine version ARNs. "
        f"Received: [{one}, {one}]"
    )
    assert await refused((arn, 100)) == (
        f"Routing configuration must contain state machine version ARNs. Received: [{arn}]"
    )
    assert await refused((one, 101)) == (
        "1 validation error detected: Value '101' at 'routingConfiguration.1.member.weight' failed "
        "to satisfy constraint: Member must have value less than or equal to 100"
    )
    item = "RoutingConfigurationListItem(stateMachineVersionArn={}, weight={})"
    shown = ", ".join([item.format(one, 50), item.format(two, 30), item.format(one, 20)])
    assert await refused((one, 50), (two, 30), (one, 20)) == (
        f"1 validation error detected: Value '[{shown}]' at 'routingConfiguration' failed to "
        "satisfy constraint: Member must have length less than or equal to 2"
    )


async def test_names_of_aliases(api: Rig) -> None:
    _, one, _ = await two_versions(api)
    routing = [{"stateMachineVersionArn": one, "weight": 100}]
    for name in ("123", "a b"):
        refused = await api.refusal(
            "create_state_machine_alias", name=name, routingConfiguration=routing
        )
        assert refused == (
            "ValidationException",
            f"1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: "
            r"^(?=.*[a-zA-Z_\-\.])[a-zA-Z0-9_\-\.]+$",
        )


async def test_a_version_that_an_alias_routes_to_stays(api: Rig) -> None:
    arn, one, _ = await two_versions(api)
    live = await alias(api, (one, 100))
    refused = await api.refusal("delete_state_machine_version", stateMachineVersionArn=one)
    assert refused == (
        "ConflictException",
        "Version to be deleted must not be referenced by an alias. "
        "Current list of aliases referencing this version: [live]",
    )
    listed = await api("list_state_machine_aliases", stateMachineArn=arn)
    assert [each["stateMachineAliasArn"] for each in listed["stateMachineAliases"]] == [live]
    await api("delete_state_machine_alias", stateMachineAliasArn=live)
    assert await api("delete_state_machine_version", stateMachineVersionArn=one) == {}
    assert await api("delete_state_machine_version", stateMachineVersionArn=one) == {}


async def test_an_alias_that_is_not_there(api: Rig) -> None:
    arn = await create(api)
    gone = f"{arn}:gone"
    refused = await api.refusal(
        "update_state_machine_alias", stateMachineAliasArn=gone, description="d"
    )
    assert refused == (
        "ResourceNotFound",
        "Request references a resource that does not exist.",
    )
    assert await api("delete_state_machine_alias", stateMachineAliasArn=gone) == {}


async def test_tags(api: Rig) -> None:
    arn = await create(api, tags=[{"key": "a", "value": "1"}])
    await api("tag_resource", resourceArn=arn, tags=[{"key": "b", "value": ""}, {"key": "c"}])
    await api("untag_resource", resourceArn=arn, tagKeys=["a", "never"])
    listed = await api("list_tags_for_resource", resourceArn=arn)
    assert listed["tags"] == [{"key": "b", "value": ""}, {"key": "c", "value": ""}]


async def test_versions_have_no_tags(api: Rig) -> None:
    arn = await create(api, publish=True)
    refused = await api.refusal("tag_resource", resourceArn=f"{arn}:1", tags=[{"key": "a"}])
    assert refused == ("ResourceNotFound", f"Resource not found: '{arn}:1'")


async def test_there_can_be_too_many_tags(api: Rig) -> None:
    arn = await create(api)
    tags = [{"key": f"k{number}"} for number in range(51)]
    assert (await api.refusal("tag_resource", resourceArn=arn, tags=tags))[0] == "TooManyTags"


async def test_what_a_workflow_says_is_changed_with_kubectl_only(api: Whole) -> None:
    arn = await create(api, "shop.pay")
    published = await api("publish_state_machine_version", stateMachineArn=arn)
    version = published["stateMachineVersionArn"]
    routing = [{"stateMachineVersionArn": version, "weight": 100}]
    made = await api("create_state_machine_alias", name="live", routingConfiguration=routing)
    alias = made["stateMachineAliasArn"]
    machine = await api.machine(arn)
    options = replace(machine.options, workflow_uid="uid")
    assert api.ledger is not None
    owned = await api.ledger.put_machine(
        replace(machine, options=options, revision_id="owned"), machine.revision_id
    )
    for call, given in (
        ("update_state_machine", {"stateMachineArn": arn, "definition": OTHER}),
        ("update_state_machine", {"stateMachineArn": arn, "roleArn": ROLE, "publish": True}),
        ("delete_state_machine", {"stateMachineArn": arn}),
        ("create_state_machine", {"name": "shop.pay", "definition": PASS, "roleArn": ROLE}),
        ("publish_state_machine_version", {"stateMachineArn": arn}),
        ("delete_state_machine_version", {"stateMachineVersionArn": version}),
        ("create_state_machine_alias", {"name": "b", "routingConfiguration": routing}),
        ("update_state_machine_alias", {"stateMachineAliasArn": alias, "description": "d"}),
        ("delete_state_machine_alias", {"stateMachineAliasArn": alias}),
    ):
        code, message = await api.refusal(call, **given)
        assert code == "AccessDeniedException", call
        assert "is managed by the Workflow shop/pay; change it with kubectl" in message
    assert await api.machine(arn) == owned
    started = await api("start_execution", stateMachineArn=arn)
    assert started["executionArn"].startswith(arn.replace("stateMachine", "execution"))
