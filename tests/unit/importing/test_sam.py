"""What templates become: every object passes the CRDs, and nothing is dropped without a word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.articles import lines_with
from torpor.dev.folder import load_folder
from torpor.dev.manifests import problems_of
from torpor.importing.sam import code
from torpor.importing.sam.importer import Imported, Wanted, import_sam
from torpor.importing.sam.template import BadTemplate

FUNCTION = """
  Fn:
    Type: AWS::Serverless::Function
    Properties:
      InlineCode: "def handler(event, context): return event"
      Handler: index.handler
      Runtime: python3.12
"""
MACHINE = "AWS::Serverless::StateMachine"
BOMB = (
    "a0: &a0 [x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]\n" for n in range(1, 9))
    + "Resources: {}\n"
)


def nested(innermost: str, times: int) -> str:
    """Return a template with a Sub that has itself ten times, and so on."""
    value = innermost
    for _ in range(times):
        value = f"{{ Fn::Sub: ['{'${a}' * 10}', {{ a: {value} }}] }}"
    return f"Resources: {{ A: {{ Type: T, Properties: {{ x: {value} }} }} }}"


DOUBLED = (
    "Conditions:\n  C0: !Equals [a, a]\n"
    + "".join(f"  C{n}: !And [Condition: C{n - 1}, Condition: C{n - 1}]\n" for n in range(1, 30))
    + "Resources: { A: { Type: T, Condition: C29 } }\n"
)
REPEATED = nested("''", 8)
LONG = nested("x" * 40, 5)


def imported(resources: str, folder: Path = Path("."), **wanted: Any) -> Imported:
    """Import a template with these resources, and see that each object would be taken."""
    found = import_sam(
        resources if "Resources" in resources else f"Resources:{resources}",
        folder,
        Wanted(**wanted),
    )
    for body in found.objects:
        assert list(problems_of(body)) == []
    return found


def specs(found: Imported, kind: str) -> Mapping[str, Any]:
    return {it["metadata"]["name"]: it["spec"] for it in found.objects if it["kind"] == kind}


def told(found: Imported) -> list[str]:
    return [str(note) for note in found.notes]


def with_event(event: str) -> Imported:
    return imported(f"{FUNCTION}      Events:\n        E: {event}\n")


def test_the_template_of_the_article_becomes_three_functions_and_their_triggers(
    tmp_path: Path,
) -> None:
    lines = lines_with("# templates/api.yaml")
    first = lines.index("# templates/api.yaml")
    last = next(n for n, line in enumerate(lines) if line.startswith("When you are ready to test"))
    handlers = tmp_path / "src" / "handlers"
    handlers.mkdir(parents=True)
    for name in ("getItem", "upload", "processJob"):
        (handlers / f"{name}.js").write_text("exports.handler = async () => ({});")
    found = imported("\n".join(lines[first:last]), tmp_path)
    functions, triggers = specs(found, "Function"), specs(found, "Trigger")
    assert set(functions) == {"get-item", "upload", "process-job"}
    env = {it["name"]: it["value"] for it in functions["upload"]["env"]}
    assert env["QUEUE_URL"].endswith("/000000000000/job-queue")
    assert env["_HANDLER"] == "upload.handler"
    source = {name: spec["source"] for name, spec in triggers.items()}
    assert source == {
        "get-item-http": {"http": {"path": "/items", "methods": ["GET"]}},
        "upload-http": {"http": {"path": "/upload", "pathType": "Exact", "methods": ["POST"]}},
        "process-job-job-event": {"queue": {"name": "job-queue"}},
    }
    assert [it for it in told(found) if it.startswith("not imported")] == [
        "not imported: ItemsTable: AWS::DynamoDB::Table: make the table where "
        "AWS_ENDPOINT_URL_DYNAMODB leads, and give that and its credentials to the Functions "
        "(--env)"
    ]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(found.objects))
    assert len(load_folder(tmp_path).functions) == 3


def test_limits_of_a_function_are_kept() -> None:
    found = imported(
        FUNCTION
        + """
      MemorySize: 1769
      Timeout: 90
      ReservedConcurrentExecutions: 5
      ProvisionedConcurrencyConfig: { ProvisionedConcurrentExecutions: 2 }
      Architectures: [arm64]
      EventInvokeConfig:
        MaximumEventAgeInSeconds: 120
        MaximumRetryAttempts: 1
        DestinationConfig:
          OnFailure: { Type: SQS, Destination: !GetAtt Failed.Arn }
  Failed: { Type: AWS::SQS::Queue }
"""
    )
    spec = specs(found, "Function")["fn"]
    assert spec["resources"] == {
        "requests": {"cpu": "1000m", "memory": "1769Mi"},
        "limits": {"memory": "1769Mi"},
    }
    assert (spec["timeoutSeconds"], spec["reservedConcurrency"]) == (90, 5)
    assert spec["scaling"] == {
        "concurrency": {"target": 1, "limit": 1},
        "maxReplicas": 5,
        "minReplicas": 2,
    }
    assert spec["nodeSelector"] == {"kubernetes.io/arch": "arm64"}
    assert spec["async"] == {
        "maxAgeSeconds": 120,
        "maxAttempts": 2,
        "onFailure": {"queue": {"name": "failed"}},
    }


def test_globals_conditions_mappings_and_functions_are_done() -> None:
    found = imported(
        """
Parameters: { Stage: { Type: String, Default: dev } }
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  IsOther: !And [!Not [!Condition IsProd], !Equals [a, a]]
Mappings: { Sizes: { dev: { memory: 256 }, prod: { memory: 1024 } } }
Globals: { Function: { Runtime: python3.12, Environment: { Variables: { A: one, B: two } } } }
Resources:
  Fn:
    Type: AWS::Serverless::Function
    Properties:
      InlineCode: "def handler(event, context): pass"
      Handler: index.handler
      MemorySize: !FindInMap [Sizes, !Ref Stage, memory]
      Environment:
        Variables:
          B: !If [IsOther, other, prod]
          C: !Join ["-", [a, !Ref Stage, !Select [1, !Split [",", "x,y"]]]]
          D: !Sub ["${Stage}.${Own}.${!Kept}.${AWS::Region}", { Own: mine }]
          E: !If [IsProd, yes, !Ref AWS::NoValue]
"""
    )
    spec = specs(found, "Function")["fn"]
    assert {it["name"]: it["value"] for it in spec["env"]} == {
        "A": "one",
        "B": "other",
        "C": "a-dev-y",
        "D": "dev.mine.${Kept}.us-east-1",
    }
    assert spec["resources"]["limits"] == {"memory": "256Mi"}


@pytest.mark.parametrize(
    ("event", "source"),
    [
        (
            "{ Type: S3, Properties: { Bucket: up, Events: 's3:ObjectCreated:*', Filter: { S3Key: "
            "{ Rules: [{ Name: prefix, Value: in/ }, { Name: suffix, Value: .jpg }] } } } }",
            {"storage": {"bucket": "up", "prefix": "in/", "suffix": ".jpg", "events": ["created"]}},
        ),
        (
            "{ Type: Schedule, Properties: { Schedule: rate(5 minutes) } }",
            {"schedule": {"every": "5m"}},
        ),
        (
            "{ Type: ScheduleV2, Properties: { ScheduleExpression: 'cron(0 9 ? * 2 *)', "
            "ScheduleExpressionTimezone: Europe/Rome } }",
            {"schedule": {"cron": "0 9 * * MON", "timeZone": "Europe/Rome"}},
        ),
        (
            "{ Type: SNS, Properties: { Topic: 'arn:aws:sns:us-east-1:1:Alerts' } }",
            {"bus": {"name": "alerts"}},
        ),
        (
            "{ Type: EventBridgeRule, Properties: { EventBusName: Orders, "
            "Pattern: { source: [a] } } }",
            {"bus": {"name": "orders"}},
        ),
    ],
)
def test_an_event_becomes_the_source_of_a_trigger(event: str, source: Any) -> None:
    [spec] = specs(with_event(event), "Trigger").values()
    assert spec["source"] == source
    assert spec["target"] == {"function": {"name": "fn"}}
    assert "transform" in spec


def test_a_queue_is_tried_and_given_up_as_its_policy_says() -> None:
    found = imported(
        FUNCTION
        + """
      Events: { E: { Type: SQS, Properties: { Queue: !GetAtt Jobs.Arn, BatchSize: 5 } } }
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 60
      DelaySeconds: 3
      RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 4 }
  Dead: { Type: AWS::SQS::Queue }
"""
    )
    spec = specs(found, "Trigger")["fn-e"]
    assert spec["batch"] == {"size": 5}
    assert spec["delivery"]["maxAttempts"] == 4
    assert spec["delivery"]["backoff"]["initialSeconds"] == 60
    assert spec["deadLetter"] == {"target": {"queue": {"name": "dead"}}}
    assert "not imported: Jobs.DelaySeconds: queues have no such setting here" in told(found)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (
            "{ Type: DynamoDB, Properties: { Stream: x } }",
            "DynamoDB: a Trigger with source.postgres",
        ),
        ("{ Type: Kinesis, Properties: { Stream: x } }", "Kinesis: a Trigger with source.kafka"),
        ("{ Type: Cognito, Properties: {} }", "Cognito: Torpor has no such source"),
        ("{ Type: Api, Properties: { Path: /a, Method: get, Auth: { Authorizer: x } } }", "E.Auth"),
        ("{ Type: Schedule, Properties: { Schedule: 'cron(0 1 L * ? *)' } }", "crontab has no L"),
        ("{ Type: Api, Properties: { Path: /function/x, Method: get } }", "the gateway's own"),
        (
            "{ Type: EventBridgeRule, Properties: { Pattern: { source: [aws.s3] } } }",
            "AWS's own services tell nobody here",
        ),
    ],
)
def test_what_is_not_imported_is_told_with_what_to_use(event: str, says: str) -> None:
    found = [line for line in told(with_event(event)) if line.startswith("not imported")]
    assert len(found) == 1
    assert says in found[0]


def two_functions(one: str, other: str) -> Imported:
    """Import a template with two functions, each with a path that it is to be asked at by GET."""
    event = "      Events: {{ E: {{ Type: Api, Properties: {{ Path: '{}', Method: get }} }} }}\n"
    second = FUNCTION.replace("Fn:", "Other:")
    return imported(FUNCTION + event.format(one) + second + event.format(other))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("/items", {"path": "/items", "pathType": "Exact", "methods": ["GET"]}),
        ("/items/", {"path": "/items/", "pathType": "Exact", "methods": ["GET"]}),
        ("/", {"path": "/", "pathType": "Exact", "methods": ["GET"]}),
        ("/items/{id}/lines", {"path": "/items", "methods": ["GET"]}),
        ("/{proxy+}", {"path": "/", "methods": ["GET"]}),
    ],
)
def test_a_path_without_a_parameter_is_taken_alone(path: str, source: Any) -> None:
    event = f"{{ Type: Api, Properties: {{ Path: '{path}', Method: get }} }}"
    [spec] = specs(with_event(event), "Trigger").values()
    assert spec["source"] == {"http": source}
    assert spec["target"] == {"function": {"name": "fn", "path": source["path"]}}


def test_a_list_and_its_items_may_be_two_functions() -> None:
    found = two_functions("/items/{id}", "/items")
    assert list(specs(found, "Trigger")) == ["fn-http", "other-http"]
    assert [line for line in told(found) if line.startswith("not imported")] == []


@pytest.mark.parametrize(
    ("one", "other", "taken"),
    [
        ("/items/{id}", "/items/{id}/lines", "GET /items and all below it already"),
        ("/items", "/items", "GET /items already"),
    ],
)
def test_two_functions_cannot_share_an_address(one: str, other: str, taken: str) -> None:
    found = two_functions(one, other)
    assert list(specs(found, "Trigger")) == ["fn-http"]
    [line] = [line for line in told(found) if line.startswith("not imported")]
    assert line.startswith(f"not imported: Other.Events.E: GET {other}: GET {one} of fn has")
    assert taken in line


def test_a_state_machine_becomes_a_workflow_of_its_functions() -> None:
    found = imported(
        FUNCTION
        + """
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      Type: EXPRESS
      Definition:
        StartAt: A
        States: { A: { Type: Task, Resource: "${FnArn}", End: true } }
      DefinitionSubstitutions: { FnArn: !GetAtt Fn.Arn }
      Events:
        E: { Type: Schedule, Properties: { Schedule: rate(1 hour), Input: '{"a": "${b}"}' } }
"""
    )
    spec = specs(found, "Workflow")["machine"]
    arn = "arn:aws:lambda:us-east-1:000000000000:function:fn"
    assert spec["type"] == "Express"
    assert spec["definition"]["States"]["A"]["Resource"] == arn
    trigger = specs(found, "Trigger")["machine-e"]
    assert trigger["target"] == {"workflow": {"name": "machine"}}
    assert trigger["transform"] == {"input": {"a": "$${b}"}}


def test_code_with_folders_is_an_archive_that_is_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "src" / "lib").mkdir(parents=True)
    (tmp_path / "src" / "app.py").write_text("from lib import a\n")
    (tmp_path / "src" / "lib" / "a.py").write_text("x = 1\n")
    text = FUNCTION.replace(
        'InlineCode: "def handler(event, context): return event"', "CodeUri: src"
    ).replace("index.handler", "lib.a.handler")
    found = imported(text, tmp_path, archives_url="https://example.com/code")
    again = imported(text, tmp_path, archives_url="https://example.com/code")
    assert found.archives == again.archives
    spec = specs(found, "Function")["fn"]
    assert spec["code"]["archive"]["url"] == "https://example.com/code/fn.tar.gz"
    assert spec["handler"] == "lib/a.handler"
    assert [it for it in told(found) if it.startswith("not imported")] == []
    assert any("archives/fn.tar.gz" in it for it in told(imported(text, tmp_path)))


def test_a_character_that_json_escapes_in_two_parts_is_one() -> None:
    found = imported(FUNCTION.replace("return event", "return '\\ud83d\\ude00'"))
    assert "😀" in found.objects[0]["data"]["index.py"]


def test_a_folder_with_too_many_files_is_refused_before_all_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "MOST_FILES", 3)
    for number in range(4):
        (tmp_path / f"{number}.py").touch()
    function = FUNCTION.replace("InlineCode: ", "CodeUri: . # ")
    with pytest.raises(BadTemplate, match="more than 3 files"):
        imported(function, tmp_path)


def test_links_beside_the_code_are_told(tmp_path: Path) -> None:
    (tmp_path / "index.py").write_text("def handler(event, context): return 1")
    (tmp_path / "shared.py").symlink_to("/etc/hostname")
    (tmp_path / "whole").symlink_to("/etc")
    text = FUNCTION.replace("InlineCode:", "Description:").replace(
        "Handler: index", "CodeUri: .\n      Handler: index"
    )
    found = imported(text, tmp_path)
    [line] = [it for it in told(found) if "symbolic links" in it]
    assert line.startswith("not imported: Fn.CodeUri: 2 symbolic links, such as shared.py")
    [code] = [it["data"] for it in found.objects if it["kind"] == "ConfigMap"]
    assert list(code) == ["index.py"]


def test_names_may_depend_on_parameters() -> None:
    text = """
Parameters: { Stage: { Type: String, Default: dev } }
Resources:
  Jobs: { Type: AWS::SQS::Queue, Properties: { QueueName: !Sub "${Stage}-jobs" } }
"""
    more = "      Environment: { Variables: { Q: !Ref Jobs, A: !Sub '${ServerlessRestApi}/x' } }\n"
    found = imported(text + FUNCTION + more + "Outputs: { Url: { Value: x } }")
    env = {it["name"]: it["value"] for it in specs(found, "Function")["fn"]["env"]}
    assert env["Q"].endswith("/000000000000/dev-jobs")
    assert env["A"] == "${ServerlessRestApi}/x"
    lines = [line for line in told(found) if line.startswith("not imported")]
    assert any("${ServerlessRestApi} is known to AWS alone" in line for line in lines)
    assert any(line.startswith("not imported: Outputs") for line in lines)


def test_secrets_that_would_be_plain_text_or_missing_are_told() -> None:
    text = "Parameters: { Word: { Type: String, NoEcho: true } }\nResources:"
    env = "A: !Ref Word, B: !Sub '{{resolve:ssm:/${Word}}}', C: '{{resolve:ssm:/c}}'"
    more = f"      Environment: {{ Variables: {{ {env} }} }}\n"
    lines = told(imported(text + FUNCTION + more, parameters={"Word": "w"}))
    assert "differs: Fn: the parameter Word is NoEcho, and written as plain text" in str(lines)
    assert [it for it in lines if it.startswith("not imported: Fn: {{resolve:ssm:")] == [
        f"not imported: Fn: {secret}: is known to AWS alone: name a Secret's field"
        for secret in ("{{resolve:ssm:/w}}", "{{resolve:ssm:/c}}")
    ]


def test_a_note_is_one_line_whatever_the_template_says() -> None:
    lines = told(with_event('{ Type: "Odd\\nkind", Properties: {} }'))
    assert all("\n" not in line for line in lines)
    assert any("Odd kind" in line for line in lines)


def test_a_namespace_is_in_objects_and_in_names_that_clients_use() -> None:
    more = "      Environment: { Variables: { Q: !Ref Jobs } }\n  Jobs: { Type: AWS::SQS::Queue }\n"
    found = imported(FUNCTION + more, namespace="shop")
    assert {it["metadata"]["namespace"] for it in found.objects} == {"shop"}
    env = {it["name"]: it["value"] for it in specs(found, "Function")["fn"]["env"]}
    assert env["Q"].endswith("/000000000000/shop.jobs")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "not YAML"),
        ("a: 1", "it has no Resources"),
        ('a: "\\ud800"', "not YAML"),
        ("Resources: { A: {} }", "must have a Type"),
        ("Parameters: { P: {} }\nResources: {}", "has no Default: give --parameter P"),
        ("Resources: { A: { Type: T, Properties: { x: !Ref B } } }", "Ref B: there is no such"),
        ("Resources: { A: { Type: T, Condition: C } }", "Conditions.C: there is no such"),
        (
            "Conditions: { C: !Condition C }\nResources: { A: { Type: T, Condition: C } }",
            "refer to themselves",
        ),
        (
            "Conditions: { C: !Equals [!If [C, 1, 2], 1] }\n"
            "Resources: { A: { Type: T, Condition: C } }",
            "refer to themselves",
        ),
        ('Resources: { "a\\nb": { Type: T } }', "a logical id has letters and digits alone"),
        (f"Resources:{FUNCTION}      Events: [1]\n", "Fn.Events: must be an object"),
        (f"Resources:{FUNCTION}      Events: {{ E: x }}\n", "Fn.Events.E: an event"),
        (f"Resources:{FUNCTION}      Timeout: soon\n", "Fn.Timeout: cannot be understood"),
        (f"Resources:{FUNCTION}".replace("index.handler", "index"), "must read file.function"),
        (f"Resources:{FUNCTION}".replace("index.", "../../a."), "no file beside its code"),
        ("Parameters: [P]\nResources: {}", "Parameters: must be an object"),
        ("Resources: { A: { Type: T, Properties: { x: !Ref [a] } } }", "A: Ref needs the name"),
        ("Resources: { A: { Type: T, Properties: { Fn::Sub: x } } }", "A.Properties: must be"),
        (
            f"Resources: {{ M: {{ Type: {MACHINE}, Properties: {{ Definition: x, "
            "DefinitionSubstitutions: 3 } } }",
            "M.DefinitionSubstitutions: must be an object",
        ),
        (
            "Resources: { R: { Type: AWS::Events::Rule, Properties: { Targets: [3] } } }",
            "R.Targets: must be a list of objects",
        ),
        ("Resources: &all { A: { Type: T, Properties: { x: *all } } }", "inside of what it"),
        (BOMB, "aliases .* unfold to more than"),
        (REPEATED, "functions give more than"),
        (DOUBLED, "functions give more than"),
        (
            "Conditions: { C: { Condition: [C] } }\nResources: { A: { Type: T, Condition: C } }",
            "Conditions.C: cannot be understood",
        ),
        (LONG, "a text of more than 1 MiB"),
    ],
)
def test_a_wrong_template_is_refused_with_its_place(text: str, why: str) -> None:
    with pytest.raises(BadTemplate, match=why):
        import_sam(text, Path("."), Wanted())
