"""What `-o` means, the same for all that is listed or shown."""

from __future__ import annotations

import json

import pytest
import yaml

from torpor.cli.output import Column, Form, Kind, bars, print_item, print_items

KIND = Kind(
    lambda item: f"thing/{item['n']}",
    (Column("N", lambda item: str(item["n"])), Column("MORE", lambda item: "m", wide=True)),
)
ITEMS = [{"n": 1}, {"n": 22}]


def printed(form: Form, capsys: pytest.CaptureFixture[str]) -> str:
    print_items(form, ITEMS, KIND)
    return capsys.readouterr().out


def test_items_in_each_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(Form.TABLE, capsys) == "N\n1\n22\n"
    assert printed(Form.WIDE, capsys) == "N    MORE\n1    m\n22   m\n"
    assert printed(Form.NAME, capsys) == "thing/1\nthing/22\n"
    assert json.loads(printed(Form.JSON, capsys)) == {"items": ITEMS}
    assert yaml.safe_load(printed(Form.YAML, capsys)) == {"items": ITEMS}


@pytest.mark.parametrize(
    ("form", "expected"), [("table", "words\n"), ("wide", "words\n"), ("name", "thing/1\n")]
)
def test_one_item(form: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_item(form, {"n": 1}, "thing/1", lambda: "words")
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("width", [24, 40, 79])
def test_bars_keep_within_the_terminal(width: int) -> None:
    lines = bars({"schedule": 30, "create": 1400}, "ms", width)
    assert all(len(line) <= width for line in lines)
    assert lines[1].count("█") > lines[0].count("█")


def test_bars_of_no_terminal_have_their_own_length() -> None:
    assert bars({"a": 1}, "ms") == [f"a  1 ms  {'█' * 40}"]
