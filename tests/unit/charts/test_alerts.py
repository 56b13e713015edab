"""The alert rules: each fires when it has to and only then, and has a page that says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.charts.promql import unknown
from tests.unit.charts.test_charts import CHARTS, ROOT, find, needs_helm

PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="no promtool on the PATH, nor named by PROMTOOL: make host-packages"
)
FILE = CHARTS / "torpor" / "alerts" / "torpor.yaml"
GROUPS = yaml.safe_load(FILE.read_text())["groups"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
ON = ("--set", "metrics.prometheusRule.enabled=true")

Series = dict[str, str]
HELD = 'torpor_gateway_held{namespace="shop",function="a"}'
REFUSED = 'torpor_gateway_refused_total{code="%s"}'
REQUESTS = 'torpor_gateway_requests_total{namespace="shop",function="a"}'
RUNS = 'torpor_run_finished_total{namespace="shop",function="a",outcome="%s"}'
TRIGGER = '{namespace="shop",trigger="a"}'


def bucket(metric: str, fast: str, slow: str, bounds: tuple[str, str], more: str = "") -> Series:
    """A histogram of two bounds: so many observations up to the first one, so many in all."""
    low, high = bounds
    return {
        f'{metric}_bucket{{{more}le="{low}"}}': fast,
        f'{metric}_bucket{{{more}le="{high}"}}': slow,
        f'{metric}_bucket{{{more}le="+Inf"}}': slow,
    }


def ratio(bad: str, good: str, bad_steps: int) -> Series:
    return {bad: f"0+{bad_steps}x60", good: "0+100x60"}


CASES: dict[str, tuple[Series, ...]] = {
    "TorporNoLeader": ({"torpor_leader": "0x60"}, {'torpor_leader{pod="a"}': "1x60"}),
    "TorporNoGateway": (
        {'torpor_gateway_slots{pod="controller"}': "0x60"},
        {'torpor_gateway_slots{pod="a"}': "2000x60"},
    ),
    "TorporReconcilesFail": (
        ratio(
            'torpor_reconciles_total{result="error"}', 'torpor_reconciles_total{result="ok"}', 30
        ),
        ratio('torpor_reconciles_total{result="error"}', 'torpor_reconciles_total{result="ok"}', 3),
    ),
    "TorporWorkqueueLong": (
        {"torpor_workqueue_depth": "150x60"},
        {"torpor_workqueue_depth": "9x60"},
    ),
    "TorporKubernetesApiFails": (
        ratio(
            'torpor_api_requests_total{verb="get",code="503"}',
            'torpor_api_requests_total{verb="get",code="200"}',
            50,
        ),
        ratio(
            'torpor_api_requests_total{verb="get",code="404"}',
            'torpor_api_requests_total{verb="get",code="200"}',
            50,
        ),
    ),
    "TorporGatewaysSilent": (
        {"torpor_autoscaler_silent_gateways": "1x60"},
        {"torpor_autoscaler_silent_gateways": "0x20 1x3 0x30"},
    ),
    "TorporColdStartsFail": (
        ratio(
            'torpor_cold_starts_total{result="ImagePullBackOff"}',
            'torpor_cold_starts_total{result="ok"}',
            20,
        ),
        ratio(
            'torpor_cold_starts_total{result="ImagePullBackOff"}',
            'torpor_cold_starts_total{result="ok"}',
            5,
        ),
    ),
    "TorporColdStartsSlow": (
        bucket("torpor_cold_start_seconds", "0+1x60", "0+9x60", ("5.0", "10.0"), 'phase="total",'),
        bucket("torpor_cold_start_seconds", "0+9x60", "0+9x60", ("5.0", "10.0"), 'phase="total",'),
    ),
    "TorporRequestsRefused": (
        {REFUSED % "hold-timeout": "0+1x60"},  # and nothing was ever forwarded
        ratio(REFUSED % "unknown-function", REQUESTS, 10),
    ),
    "TorporRequestsHeld": ({HELD: "3x60"}, {HELD: "3x5 0x2 3x5 0x50"}),
    "TorporSlotsNearlyUsed": (
        {"torpor_gateway_slots": "100x60", "torpor_gateway_slots_used": "95x60"},
        {"torpor_gateway_slots": "100x60", "torpor_gateway_slots_used": "80x60"},
    ),
    "TorporSlotsExhausted": (
        {REFUSED % "slots-exhausted": "0+1x60"},
        {REFUSED % "slots-exhausted": "7x60"},
    ),
    "TorporConnectionsNearlyUsed": (
        {"torpor_gateway_connections": "100x60", "torpor_gateway_connections_used": "85x60"},
        {"torpor_gateway_connections": "100x60", "torpor_gateway_connections_used": "70x60"},
    ),
    "TorporDataPlaneRestarts": (
        {"torpor_gateway_dataplane_restarts_total": "0+1x60"},
        {"torpor_gateway_dataplane_restarts_total": "0x30 1x30"},
    ),
    "TorporShardsWithoutEngine": (
        {'torpor_workflow_shards_owned{pod="a"}': "512x60"},
        {
            'torpor_workflow_shards_owned{pod="a"}': "512x60",
            'torpor_workflow_shards_owned{pod="b"}': "512x60",
        },
        {'torpor_workflow_shards_owned{pod="controller"}': "0x60"},
    ),
    "TorporTimersLate": (
        bucket("torpor_workflow_timer_lag_seconds", "0+1x60", "0+9x60", ("5.0", "30.0")),
        bucket("torpor_workflow_timer_lag_seconds", "0+9x60", "0+9x60", ("5.0", "30.0")),
    ),
    "TorporCommitsSlow": (
        bucket("torpor_workflow_commit_seconds", "0+1x60", "0+9x60", ("1.0", "2.5")),
        bucket("torpor_workflow_commit_seconds", "0+9x60", "0+9x60", ("1.0", "2.5")),
    ),
    "TorporRunsFail": (
        ratio(RUNS % "Failed", RUNS % "Succeeded", 50),
        ratio(RUNS % "Cancelled", RUNS % "Succeeded", 50),
    ),
    "TorporExecutionsFail": (
        ratio(
            'torpor_workflow_executions_ended_total{type="STANDARD",status="FAILED"}',
            'torpor_workflow_executions_ended_total{type="STANDARD",status="SUCCEEDED"}',
            50,
        ),
        ratio(
            'torpor_workflow_executions_ended_total{type="STANDARD",status="FAILED"}',
            'torpor_workflow_executions_ended_total{type="STANDARD",status="SUCCEEDED"}',
            10,
        ),
    ),
    "TorporEventsDeadLettered": (
        {f"torpor_trigger_dead_lettered_total{TRIGGER}": "0x40 1x20"},
        {f"torpor_trigger_dead_lettered_total{TRIGGER}": "0x10 1x50"},
    ),
    "TorporEventsUndecodable": (
        {f"torpor_trigger_undecodable_total{TRIGGER}": "0x40 1x20"},
        {f"torpor_trigger_undecodable_total{TRIGGER}": "5x60"},
    ),
    "TorporDeliveriesFail": (
        ratio(
            f"torpor_trigger_failed_total{TRIGGER}", f"torpor_trigger_delivered_total{TRIGGER}", 50
        ),
        ratio(
            f"torpor_trigger_failed_total{TRIGGER}", f"torpor_trigger_delivered_total{TRIGGER}", 10
        ),
    ),
    "TorporBrokerRefuses": (
        {'torpor_events_refused_total{code="broker-full"}': "0+3x60"},
        {'torpor_events_refused_total{code="unauthorized"}': "0+3x60"},
    ),
    "TorporSpansDropped": (
        {'torpor_trace_spans_dropped_total{reason="queue_full"}': "0+3x60"},
        {'torpor_trace_spans_dropped_total{reason="queue_full"}': "0x5 9x55"},
    ),
}
"""Of each alert: what makes it fire at the 50th minute, and after that what must not."""


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROMTOOL), *words], capture_output=True, text=True, timeout=60, check=False
    )


def case(name: str, series: Series, samples: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A test of promtool: what fires at the 50th minute."""
    count = {
        "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
        "eval_time": "50m",
        "exp_samples": list(samples),
    }
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": value} for key, value in series.items()],
        "promql_expr_test": [count],
    }


@needs_promtool
def test_prometheus_takes_the_rules() -> None:
    done = promtool("check", "rules", FILE)
    assert (done.returncode, f"{len(RULES)} rules" in done.stdout) == (0, True), done.stderr


def test_every_alert_has_a_case() -> None:
    assert CASES.keys() == RULES.keys()


@needs_promtool
@pytest.mark.parametrize("name", RULES)
def test_an_alert_fires_when_it_has_to_and_only_then(name: str, tmp_path: Path) -> None:
    fires, *quiet = CASES[name]
    tests = [case(name, fires, [{"labels": "{}", "value": 1}])]
    tests += [case(name, series, ()) for series in quiet]
    file = tmp_path / "tests.yaml"
    whole = {"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": tests}
    file.write_text(yaml.safe_dump(whole))
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", RULES)
def test_an_alert_reads_what_is_told(name: str) -> None:
    assert list(unknown(RULES[name]["expr"])) == []


@pytest.mark.parametrize("name", RULES)
def test_an_alert_has_a_page_that_says_what_to_do(name: str) -> None:
    page = ROOT / RULES[name]["annotations"]["runbook_url"]
    text = page.read_text()
    assert f"`{name}`" in text
    parts = [line for line in text.splitlines() if line.startswith("## ")]
    assert parts == ["## What it means", "## Look", "## Do"]


def test_every_page_is_of_an_alert() -> None:
    named = {Path(rule["annotations"]["runbook_url"]).name for rule in RULES.values()}
    assert {path.name for path in (ROOT / "docs" / "runbooks").glob("*.md")} == {
        *named,
    }


@needs_helm
def test_alerts_lead_to_where_the_pages_are_read() -> None:
    base = "metrics.prometheusRule.runbooks=https://docs.example/runbooks/"
    found = find("PrometheusRule", "torpor", *ON, "--set", base)["spec"]["groups"]
    rules = {rule["alert"]: rule for group in found for rule in group["rules"]}
    assert rules.keys() == RULES.keys()
    page = rules["TorporNoLeader"]["annotations"].pop("runbook_url")
    assert page == "https://docs.example/runbooks/no-leader.md"
    assert rules["TorporNoLeader"]["expr"] == RULES["TorporNoLeader"]["expr"]
    assert find("PrometheusRule", "torpor", *ON)["spec"]["groups"] == GROUPS
