"""`torpor cost`: bills of a cluster's metrics, comparisons, tables."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tests.unit.cli.conftest import Torpor
from tests.unit.cli.fake_cluster import FakeCluster
from tests.unit.cli.test_run import job
from tests.unit.telemetry.cost.test_snapshot import ENGINE, GATEWAY, LEADER
from torpor.cli.cost import chart
from torpor.resources.names import FunctionKey
from torpor.resources.run import Run, RunState
from torpor.telemetry.cost import Load, compare, named_server, named_table

PODS = "/api/v1/namespaces/torpor-system/pods"
Json = dict[str, Any]


def pod(component: str) -> Json:
    labels = {"app.kubernetes.io/component": component}
    name = f"torpor-{component}-1"
    return {"metadata": {"name": name, "labels": labels}, "status": {"phase": "Running"}}


@pytest.fixture(autouse=True)
def _no_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORPOR_DASHBOARD", raising=False)


@pytest.fixture
def roles(cluster: FakeCluster) -> FakeCluster:
    components = ("controller", "gateway", "engine", "nats")
    cluster.objects[PODS] = {"items": [pod(component) for component in components]}
    for component, text in zip(components, (LEADER, GATEWAY, ENGINE), strict=False):
        cluster.texts[f"{PODS}/torpor-{component}-1:9090/proxy/metrics"] = text
    return cluster


@pytest.mark.usefixtures("roles")
async def test_the_bill_of_a_cluster(torpor: Torpor) -> None:
    done = await torpor("cost", "-o", "json")
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    assert told["table"] == "own-nodes"
    assert told["since"] == 1_000_000.0
    amounts = {item["name"]: item["amount"] for item in told["items"]}
    assert amounts["shop/film"] == pytest.approx(1000 * 0.096 / 3600)
    assert told["now"] == pytest.approx(sum(amounts.values()))


@pytest.mark.usefixtures("roles")
async def test_the_bill_for_people_says_since_when_and_at_which_prices(torpor: Torpor) -> None:
    done = await torpor("cost", "--prices", "aws-lambda-x86")
    assert done.code == 0, done.err
    assert "since            1970-01-12T13:46:40+00:00" in done.out
    assert "aws-lambda-x86: AWS Lambda" in done.out
    lines = {line.split()[1]: line.split() for line in done.out.splitlines() if "shop/" in line}
    assert lines["shop/order"][:3] == ["workflow", "shop/order", "1.00"]
    assert lines["shop/pay"][3] == "0.0133", "800 s x 1 GiB x 0.0000166667"


@pytest.mark.usefixtures("roles")
async def test_the_bill_of_one_namespace(torpor: Torpor) -> None:
    shop, other = [
        json.loads((await torpor("cost", "-n", namespace, "-o", "json")).out)
        for namespace in ("shop", "sho")
    ]
    assert {item["name"] for item in shop["items"]} >= {"shop/pay", "shop/order"}
    assert (other["items"], other["now"]) == ([], 0)


async def test_a_role_that_does_not_tell_is_named(torpor: Torpor, roles: FakeCluster) -> None:
    del roles.texts[f"{PODS}/torpor-gateway-1:9090/proxy/metrics"]
    done = await torpor("cost")
    assert done.code == 0
    assert "torpor cost: without torpor-gateway-1: torpor-gateway-1 answers 404" in done.err


async def test_no_role_tells_anything(torpor: Torpor, cluster: FakeCluster) -> None:
    cluster.objects[PODS] = {"items": []}
    done = await torpor("cost")
    assert done.code == 1
    assert "kubectl auth can-i get pods/proxy -n torpor-system" in done.err


async def test_a_dashboard_that_is_not_there(torpor: Torpor) -> None:
    done = await torpor("cost", "--dashboard", "127.0.0.1:9")
    assert done.code == 1
    assert "no answer from torpor dev at http://127.0.0.1:9" in done.err


async def test_a_run_is_not_asked_of_the_dashboard(torpor: Torpor) -> None:
    done = await torpor("cost", "--run", "film-1", "--dashboard", "http://127.0.0.1:9")
    assert done.code == 1
    assert "export TORPOR_GATEWAY, as torpor dev prints it" in done.err
    assert "unset TORPOR_DASHBOARD" in done.err


async def test_the_help_says_what_a_bill_is_of_without_a_namespace(torpor: Torpor) -> None:
    told = " ".join((await torpor("cost", "--help")).out.split())
    assert "-n NAMESPACE, --namespace NAMESPACE only what is in it (all namespaces)" in told


async def test_variants_of_a_run_by_its_own_record(torpor: Torpor, cluster: FakeCluster) -> None:
    variants = [
        {"name": "720p", "seconds": 60.0, "redoneSeconds": 15.0, "cost": 0.04},
        {"name": "360p", "seconds": 20.0, "redoneSeconds": 0.0, "cost": 0.01},
    ]
    cost = {
        "useful": {"seconds": 65.0, "cost": 0.04},
        "redone": {"seconds": 15.0, "cost": 0.01},
        "startup": {"seconds": 1.0, "cost": 0.001},
        "idle": {"seconds": 0.0, "cost": 0.0},
        "finishing": {"seconds": 2.0, "cost": 0.002},
        "total": {"seconds": 83.0, "cost": 0.053},
    }
    put_run(cluster, {"variants": variants, "cost": cost})
    done = await torpor("cost", "--run", "film-1", "-o", "json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    by_name = {item["name"]: item for item in told["items"]}
    assert by_name["720p"]["kind"] == "variant"
    assert by_name["720p"]["parts"] == pytest.approx({"useful": 0.03, "redone": 0.01})
    assert by_name["shop/film-1"]["amount"] == told["now"] == pytest.approx(0.053)
    assert by_name["shop/film-1"]["parts"]["useful"] == pytest.approx(0.042), "with its finish"
    text = (await torpor("cost", "--run", "film-1")).out
    assert "83.0 pod seconds" in text
    assert re.search(r"variant +720p +0\.04 +0\.03", text)


@pytest.mark.parametrize(
    "result",
    [
        {"frames": 7},
        {"variants": [], "cost": {}},
        {"variants": 3},
        {"variants": ["720p"], "cost": {}},
        {"variants": [{"name": "720p", "seconds": "long", "cost": 1}], "cost": {}},
        {"variants": [{"name": "720p", "seconds": 1, "cost": 1}], "cost": {"useful": 1}},
        "720p",
        None,
    ],
)
async def test_a_run_without_variants_says_what_to_ask_instead(
    torpor: Torpor, cluster: FakeCluster, result: Any
) -> None:
    put_run(cluster, result)
    done = await torpor("cost", "--run", "film-1")
    assert done.code == 1
    assert "torpor run show --pod-hour" in done.err


def put_run(cluster: FakeCluster, result: Any) -> None:
    run = Run(
        "film-1",
        FunctionKey("shop", "film"),
        RunState.SUCCEEDED,
        created="2026-01-01T00:00:00Z",
        result=result,
        pod_seconds=83.0,
    )
    cluster.objects["/apis/batch/v1/namespaces/shop/jobs/film-1"] = job(run)
    cluster.objects["/api/v1/namespaces/shop/pods"] = {"items": []}


async def test_a_comparison_is_printed_and_drawn(torpor: Torpor) -> None:
    done = await torpor("cost", "compare")
    assert done.code == 0, done.err
    assert "serverless  USD 10.33 a month: requests 2.00, compute 8.33" in done.out
    assert "always on   USD 30.37 a month: 1 server t3.medium" in done.out
    assert "crossover   29,388,340 requests a month" in done.out
    drawn = [line.partition("|")[2] for line in done.out.splitlines() if "|" in line]
    assert len(drawn) == 12
    assert "X" in "".join(drawn)
    assert drawn[-1].startswith("/")
    assert "\x1b" not in done.out, "no colours where there is no terminal"


def test_on_a_terminal_the_lines_have_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    table = named_table("aws-lambda-x86")
    found = compare(Load.of(1, 200, 256), table, named_server("t3.medium", table))
    out = Terminal()
    chart.show(found, out)
    assert "\x1b[36m/" in out.getvalue(), "serverless in cyan"
    assert "\x1b[33m-" in out.getvalue(), "always on in yellow"


async def test_a_comparison_without_a_crossover_says_so(torpor: Torpor, tmp_path: Path) -> None:
    load = ("--memory", "4096", "--milliseconds", "60000", "--vcpus", "2")
    prices = ("--prices", "aws-fargate-spot", "--always-on", "m6i.large")
    file = tmp_path / "none.svg"
    done = await torpor("cost", "compare", *load, *prices, "--svg", str(file))
    assert done.code == 0, done.err
    assert "crossover   none: however many requests" in done.out
    assert "the two do not meet" in file.read_text()


async def test_a_picture_of_ready_places_that_cost_more_than_a_server(
    torpor: Torpor, tmp_path: Path
) -> None:
    words = ("--prices", "aws-lambda-x86-provisioned", "--ready", "20")
    file = tmp_path / "dear.svg"
    done = await torpor("cost", "compare", *words, "--svg", str(file))
    assert done.code == 0, done.err
    assert "crossover   0 requests a month" in done.out
    assert "always on costs no more, even without a request" in file.read_text()
    assert "do not meet" not in file.read_text()


async def test_places_that_are_kept_ready_are_a_part_of_their_own(torpor: Torpor) -> None:
    words = ("--prices", "aws-lambda-x86-provisioned", "--ready", "2")
    done = await torpor("cost", "compare", *words)
    assert "kept ready 5.47" in done.out or "kept ready 5.48" in done.out, done.out


async def test_a_comparison_as_data(torpor: Torpor) -> None:
    words = ("--requests", "100000000", "--always-on", "own-nodes", "-o", "yaml")
    done = await torpor("cost", "compare", *words)
    assert done.code == 0, done.err
    told = yaml.safe_load(done.out)
    assert told["server"] == "own-nodes"
    assert told["alwaysOn"] == pytest.approx(0.096 * 730)
    assert told["serverless"] == pytest.approx(103.3335)
    assert told["cheaper"] == "always-on"
    assert told["curve"][0]["requests"] == 0
    assert told["curve"][-1]["requests"] >= 100_000_000


async def test_a_picture_has_both_lines_and_says_where_they_meet(
    torpor: Torpor, tmp_path: Path
) -> None:
    file = tmp_path / "cost.svg"
    done = await torpor("cost", "compare", "--svg", str(file))
    assert done.code == 0, done.err
    drawn = ElementTree.fromstring(file.read_text())
    space = "{http://www.w3.org/2000/svg}"
    assert {it.get("class") for it in drawn.iter(f"{space}polyline")} == {"s", "o"}
    described = drawn.find(f"{space}desc")
    assert described is not None
    assert described.text == "both cost 30.37 at 29,388,340 requests"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("compare", "--requests", "-5"), "requests a month must be a number from 0"),
        (("compare", "--prices", "gold"), "there is no price table 'gold'"),
        (("compare", "--prices", "./gold.yaml"), "gold.yaml cannot be read"),
        (("compare", "--always-on", "abacus"), "there is no server 'abacus'"),
        (("compare", "--svg", "/nowhere/x.svg"), "/nowhere/x.svg cannot be written"),
        (("compare", "--memory", "9999999"), "larger than t3.medium"),
    ],
)
async def test_what_cannot_be_is_refused_with_what_to_do(
    torpor: Torpor, words: tuple[str, ...], problem: str
) -> None:
    done = await torpor("cost", *words)
    assert done.code == 1
    assert problem in done.err


async def test_tables_and_servers_are_listed_with_dates_and_sources(torpor: Torpor) -> None:
    done = await torpor("cost", "tables")
    assert done.code == 0
    [lambda_line] = [line for line in done.out.splitlines() if line.startswith("aws-lambda-x86 ")]
    assert "2025-11-01" in lambda_line
    assert "https://aws.amazon.com/lambda/pricing/" in lambda_line
    as_data = json.loads((await torpor("cost", "tables", "-o", "json")).out)
    assert {"name": "t3.medium", "hour": 0.0416, "vcpus": 2, "memoryGib": 4} in as_data["servers"]
