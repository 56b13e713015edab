"""The dashboards: every query reads metrics and labels that exist, and is one that parses."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.charts.promql import unknown
from tests.unit.charts.test_alerts import PROMTOOL, needs_promtool
from tests.unit.charts.test_charts import CHARTS, find, needs_helm

DASHBOARDS = sorted((CHARTS / "torpor" / "dashboards").glob("*.json"))
ON = ("--set", "metrics.dashboards.enabled=true")
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def test_there_is_one_for_each_kind_and_those_for_runs_and_cost() -> None:
    named = [path.stem for path in DASHBOARDS]
    assert named == ["cost", "functions", "runs", "triggers", "workflows"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_reads_what_is_told(path: Path) -> None:
    wrong = [(text, list(unknown(text))) for text in expressions(load(path))]
    assert [item for item in wrong if item[1]] == []


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("torpor_gateway_request_total", ["torpor_gateway_request_total"]),
        ('torpor_gateway_held{fn="x"}', ["torpor_gateway_held: fn"]),
        ("sum by (pod, reason) (torpor_gateway_held)", ["reason"]),
        ("up", ["no metric of Torpor's: up"]),
    ],
)
def test_a_query_of_what_is_not_told_is_noticed(expression: str, said: list[str]) -> None:
    assert list(unknown(expression)) == said


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_variables_are_labels_of_what_they_are_taken_from(path: Path) -> None:
    dashboard = load(path)
    variables = {item["name"]: item for item in dashboard["templating"]["list"]}
    for name, item in variables.items():
        if item["type"] == "query":
            match = _LABEL_VALUES.fullmatch(item["query"])
            assert match is not None
            assert list(unknown(f"sum by ({match[2]}) ({match[1]})")) == []
            assert match[2] == name
    used = set(re.findall(r'"\$(\w+)"', " ".join(expressions(dashboard))))
    assert used == variables.keys() - {"datasource"}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_say_what_they_show_and_do_not_overlap(path: Path) -> None:
    panels = load(path)["panels"]
    places = [(item["gridPos"]["x"], item["gridPos"]["y"]) for item in panels]
    assert len(set(places)) == len({item["id"] for item in panels}) == len(panels)
    assert all(item["title"] and item["description"].endswith(".") for item in panels)
    assert max(item["gridPos"]["x"] + item["gridPos"]["w"] for item in panels) <= 24


@needs_promtool
@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_parses(path: Path, tmp_path: Path) -> None:
    rules = [
        {"record": f"q{number}", "expr": re.sub(r"\$__\w+", "5m", text)}
        for number, text in enumerate(expressions(load(path)))
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": rules}]}))
    done = subprocess.run(
        [str(PROMTOOL), "check", "rules", file], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_helm
def test_the_config_map_has_them_for_the_sidecar() -> None:
    found = find("ConfigMap", "torpor-dashboards", *ON)
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    texts = {f"torpor-{path.name}": load(path) for path in DASHBOARDS}
    assert {name: json.loads(text) for name, text in found["data"].items()} == texts
