"""`torpor import sam` as a command: what it prints, writes and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.unit.cli.conftest import exit_status

TEMPLATE = """
Parameters: { Name: { Type: String } }
Resources:
  Fn:
    Type: AWS::Serverless::Function
    Properties:
      InlineCode: |
        def handler(event, context):
            return event
      Handler: index.handler
      Runtime: python3.12
      Environment: { Variables: { NAME: !Ref Name } }
  Table: { Type: AWS::DynamoDB::Table }
"""


def run(folder: Path, *words: str) -> int:
    (folder / "template.yaml").write_text(TEMPLATE)
    return exit_status(["import", "sam", str(folder / "template.yaml"), *words])


def test_it_prints_yaml_and_says_twice_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--parameter", "Name=a=b", "--env", "MORE=1") == 0
    out, err = capsys.readouterr()
    [line] = [it for it in out.splitlines() if it.startswith("# not imported")]
    assert line.startswith("# not imported: Table: AWS::DynamoDB::Table")
    assert line.removeprefix("# ") in err
    _, function = yaml.safe_load_all(out)
    assert function["spec"]["env"] == [
        {"name": "NAME", "value": "a=b"},
        {"name": "MORE", "value": "1"},
    ]
    assert "def handler(event, context):\n" in out, "code is printed as it is"


def test_with_strict_what_is_lacking_is_a_failure(tmp_path: Path) -> None:
    assert run(tmp_path, "--parameter", "Name=x", "--strict", "--out", str(tmp_path / "out")) == 1
    assert (tmp_path / "out" / "sam.yaml").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "Parameters.Name: has no Default: give --parameter Name"),
        (("--parameter", "Other=1", "--parameter", "Name=x"), "the template has no such parameter"),
        (("--parameter", "Name"), "write NAME=VALUE"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert run(tmp_path, *words) == 1
    assert says in capsys.readouterr().err


def test_a_template_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(["import", "sam", "nowhere.yaml"]) == 1
    assert "nowhere.yaml: cannot be read: No such file" in capsys.readouterr().err


def test_archives_that_nobody_asked_to_be_written_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "src" / "below").mkdir(parents=True)
    (tmp_path / "src" / "below" / "main.py").write_text("def handler(event, context): return 1")
    properties = "{ CodeUri: src, Handler: below/main.handler, Runtime: python3.12 }"
    template = (
        f"Resources: {{ Fn: {{ Type: AWS::Serverless::Function, Properties: {properties} }} }}"
    )
    (tmp_path / "template.yaml").write_text(template)
    words = ["import", "sam", str(tmp_path / "template.yaml"), "--archives", "https://x.example"]
    assert exit_status(words) == 0
    assert "archives: fn.tar.gz: written with --out FOLDER alone" in capsys.readouterr().err
    assert exit_status([*words, "--out", str(tmp_path / "out")]) == 0
    assert "written with --out" not in capsys.readouterr().err
    assert (tmp_path / "out" / "archives" / "fn.tar.gz").exists()
