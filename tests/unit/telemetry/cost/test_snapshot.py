"""From the text of `/metrics` to a bill."""

from __future__ import annotations

from decimal import Decimal

import pytest

from torpor.telemetry.cost import BadUsage, Phase, named_table, snapshot, source, taken
from torpor.telemetry.cost.usage import together

HOUR = 3600.0
STARTED = 1_000_000.0
LEADER = f"""
# HELP process_start_time_seconds When.
# TYPE process_start_time_seconds gauge
process_start_time_seconds {STARTED}
# TYPE torpor_function_pod_seconds counter
torpor_function_pod_seconds_total{{namespace="shop",function="pay",phase="useful"}} 600
torpor_function_pod_seconds_total{{namespace="shop",function="pay",phase="start"}} 20
torpor_function_pod_seconds_total{{namespace="shop",function="pay",phase="idle"}} 180
# TYPE torpor_function_pod_size gauge
torpor_function_pod_size{{namespace="shop",function="pay",resource="memory_bytes"}} 1073741824
torpor_function_pod_size{{namespace="shop",function="pay",resource="vcpus"}} 0.5
torpor_function_pod_size{{namespace="shop",function="pay",resource="gpus"}} 0
torpor_function_pod_size{{namespace="shop",function="film",resource="memory_bytes"}} 4294967296
torpor_function_pod_size{{namespace="shop",function="film",resource="vcpus"}} 2
# TYPE torpor_run_pod_seconds counter
torpor_run_pod_seconds_total{{namespace="shop",function="film",outcome="succeeded"}} 900
torpor_run_pod_seconds_total{{namespace="shop",function="film",outcome="lost"}} 90
torpor_run_pod_seconds_total{{namespace="shop",function="film",outcome="unseen"}} 10
# TYPE torpor_other counter
torpor_other_total 5
"""
GATEWAY = f"""
# TYPE process_start_time_seconds gauge
process_start_time_seconds {STARTED + HOUR}
# TYPE torpor_gateway_requests counter
torpor_gateway_requests_total{{namespace="shop",function="pay"}} 4000
# TYPE torpor_gateway_request_seconds counter
torpor_gateway_request_seconds_total{{namespace="shop",function="pay"}} 800
"""
ENGINE = f"""
# TYPE process_start_time_seconds gauge
process_start_time_seconds {STARTED}
# TYPE torpor_workflow_transitions counter
torpor_workflow_transitions_total{{namespace="shop",workflow="order",type="STANDARD"}} 40000
torpor_workflow_transitions_total{{namespace="shop",workflow="scan",type="EXPRESS"}} 9000
# TYPE torpor_workflow_express_seconds summary
torpor_workflow_express_seconds_count{{namespace="shop",workflow="scan"}} 1000000
torpor_workflow_express_seconds_sum{{namespace="shop",workflow="scan"}} 50000
"""


def test_what_one_source_says() -> None:
    found = source(LEADER)
    assert found.since == STARTED
    pay = found.usage.functions["shop/pay"]
    assert pay.pod_seconds == {Phase.USEFUL: 600, Phase.START: 20, Phase.IDLE: 180}
    assert (pay.size.memory_gib, pay.size.vcpus) == (Decimal(1), Decimal("0.5"))
    film = found.usage.functions["shop/film"]
    assert film.is_runs
    assert film.pod_seconds == {Phase.USEFUL: 910, Phase.REDONE: 90}


def test_own_nodes_charge_the_time_of_pods_by_what_it_was_good_for() -> None:
    told = snapshot([LEADER, GATEWAY, ENGINE], named_table("own-nodes"), STARTED + HOUR + 1800)
    items = {item["name"]: item for item in told["items"]}
    # a quarter of the vCPUs of a node of $0.096 an hour, which is more than its share of memory
    second = 0.096 * 0.25 / 3600
    assert items["shop/pay"]["parts"] == pytest.approx(
        {"useful": 600 * second, "start": 20 * second, "idle": 180 * second, "redone": 0}
    )
    assert items["shop/film"]["kind"] == "runs"
    assert items["shop/film"]["amount"] == pytest.approx(1000 * 0.096 / 3600), "a whole node"
    assert items["shop/order"]["amount"] == 0, "engines run on these nodes anyway"
    assert told["now"] == pytest.approx(sum(item["amount"] for item in told["items"]))
    assert told["alwaysOn"] == pytest.approx(0.096 * 0.25 * 730), "one pod of the one Function"
    # the leader counted an hour and a half, the gateway half an hour
    each = items["shop/pay"]["amount"] / 1.5 / (4000 / 0.5)
    assert told["crossoverRequests"] == pytest.approx(told["alwaysOn"] / each)
    assert (told["since"], told["table"], told["currency"]) == (STARTED, "own-nodes", "USD")


def test_lambda_charges_requests_and_fargate_and_step_functions_the_rest() -> None:
    told = snapshot([LEADER, GATEWAY, ENGINE], named_table("aws-lambda-x86"), STARTED + 2 * HOUR)
    items = {item["name"]: item for item in told["items"]}
    assert items["shop/pay"]["parts"] == pytest.approx(
        {"requests": 0.0008, "useful": 800 * 0.0000166667}
    )
    assert items["shop/film"]["parts"]["redone"] == pytest.approx(
        90 * (2 * 0.04048 + 4 * 0.004445) / 3600
    )
    assert items["shop/order"]["parts"] == {"transitions": 1.0}, "40,000 x $0.000025"
    express = items["shop/scan"]["parts"]
    assert express["express"] == 1.0, "a million at $1"
    # 50 ms are charged as 100 ms of 64 MB
    assert express["expressMemory"] == pytest.approx(100_000 * 0.0625 * 0.00001667)
    assert told["alwaysOn"] == pytest.approx(30.368)


def test_provisioned_concurrency_is_charged_for_pods_that_are_ready_in_use_or_not() -> None:
    table = named_table("aws-lambda-x86-provisioned")
    [pay] = [
        it
        for it in snapshot([LEADER, GATEWAY], table, STARTED + HOUR)["items"]
        if it["name"] == "shop/pay"
    ]
    assert pay["parts"] == pytest.approx(
        {"requests": 0.0008, "useful": 800 * 0.0000097222, "provisioned": 780 * 0.0000041667}
    )


def test_pods_kept_ready_that_nobody_asked_are_charged_too() -> None:
    told = snapshot([LEADER], named_table("aws-lambda-x86-provisioned"), STARTED + HOUR)
    [pay] = [item for item in told["items"] if item["name"] == "shop/pay"]
    assert pay["parts"] == pytest.approx(
        {"requests": 0, "useful": 0, "provisioned": 780 * 0.0000041667}
    )


def test_the_crossover_is_the_same_however_long_each_process_counted() -> None:
    table, now = named_table("own-nodes"), STARTED + HOUR + 1800
    fresh = LEADER.replace(f"seconds {STARTED}", f"seconds {now - 600}")  # a ninth of the time
    for seconds in (600, 20, 180):
        fresh = fresh.replace(f'"}} {seconds}\n', f'"}} {seconds / 9}\n')
    both = [snapshot([leader, GATEWAY], table, now) for leader in (LEADER, fresh)]
    assert both[0]["crossoverRequests"] == pytest.approx(both[1]["crossoverRequests"])


def test_a_label_may_have_any_letters() -> None:
    name = "line\u2028separated\x0b"
    text = f'torpor_workflow_transitions_total{{namespace="a",workflow="{name}",type="STANDARD"}} 2'
    assert source(text).usage.workflows[f"a/{name}"].transitions == 2


def test_a_function_that_nobody_asked_costs_nothing_where_requests_are_charged() -> None:
    told = snapshot([LEADER], named_table("azure-functions"), STARTED + HOUR)
    assert {item["name"]: item["amount"] for item in told["items"]} == {
        "shop/pay": 0,
        "shop/film": 0,
    }


def test_a_month_is_taken_on_from_each_process_own_start() -> None:
    now = STARTED + 2 * HOUR
    found = taken([source(LEADER), source(GATEWAY)], named_table("aws-lambda-x86"), now)
    runs = Decimal(1000) * (2 * Decimal("0.04048") + 4 * Decimal("0.004445")) / 3600
    requests = Decimal("0.0008") + 800 * Decimal("0.0000166667")
    # the leader counted two hours, the gateway one
    assert float(found.month) == pytest.approx(float(runs * 730 / 2 + requests * 730))


def test_two_that_led_one_after_another_make_the_same_bill_in_any_order() -> None:
    large = LEADER.replace('"memory_bytes"} 1073741824', '"memory_bytes"} 17179869184')
    large = large.replace('"vcpus"} 0.5', '"vcpus"} 8')
    table, now = named_table("own-nodes"), STARTED + HOUR
    alone = [snapshot([it], table, now)["now"] for it in (LEADER, large)]
    assert alone[1] > 2 * alone[0]
    for order in ([LEADER, GATEWAY, large], [large, LEADER, GATEWAY], [GATEWAY, large, LEADER]):
        assert snapshot(order, table, now)["now"] == pytest.approx(sum(alone))


def test_who_counted_no_pods_does_not_change_their_size() -> None:
    for order in ([LEADER, GATEWAY], [GATEWAY, LEADER]):
        pay = together(source(it).usage for it in order).functions["shop/pay"]
        assert (pay.size.memory_gib, pay.size.vcpus) == (Decimal(1), Decimal("0.5"))


def test_nothing_used_costs_nothing_and_has_no_crossover() -> None:
    told = snapshot([], named_table("own-nodes"), STARTED)
    assert (told["now"], told["month"], told["alwaysOn"]) == (0, 0, 0)
    assert told["crossoverRequests"] is None
    assert told["items"] == []


@pytest.mark.parametrize(
    "text",
    [
        'torpor_gateway_requests_total{namespace="a",function="b"} many',
        'torpor_gateway_requests_total{namespace="a",function="b"} -3',
        'torpor_gateway_requests_total{namespace="a"',
        'torpor_gateway_requests_total{namespace="a",function="b"} NaN',
    ],
)
def test_what_is_no_metric_is_refused(text: str) -> None:
    with pytest.raises(BadUsage):
        source(text)
