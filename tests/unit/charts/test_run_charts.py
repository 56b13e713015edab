"""What the chart has for runs: whose way leads to the controllers, and what these may do."""

from __future__ import annotations

from tests.unit.charts.test_charts import (
    container,
    environment,
    find,
    needs_helm,
    rendered,
    rules,
)

pytestmark = needs_helm


def test_gateways_hand_runs_over_to_any_controller() -> None:
    url = environment("gateway")["TORPOR_RUNS_URL"]
    assert url == "http://torpor-controller-internal.torpor-system.svc:8090"
    service = find("Service", "torpor-controller-internal")["spec"]
    labels = find("Deployment", "torpor-controller")["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    [port] = service["ports"]
    named = {item["name"]: item["containerPort"] for item in container("controller")["ports"]}
    assert named[port["targetPort"]] == int(environment("controller")["TORPOR_INTERNAL_PORT"])


def test_nobody_else_is_let_in_there() -> None:
    ingress = find("NetworkPolicy", "torpor-controller")["spec"]["ingress"]
    [allowed] = [
        item["from"] for item in ingress if any(p["port"] == "internal" for p in item["ports"])
    ]
    components = [
        item["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for item in allowed
    ]
    assert components == ["gateway"]


def test_the_controller_makes_jobs_and_the_gateway_cannot() -> None:
    mine = {verb for group, resource, verb in rules("controller") if resource == "jobs"}
    assert mine == {"get", "list", "watch", "create", "patch", "delete"}
    assert not [rule for rule in rules("gateway") if rule[1] == "jobs"]
    assert {verb for _, resource, verb in rules("controller") if resource == "nodes"} == {"list"}


def test_it_may_touch_only_jobs_of_runs() -> None:
    policy = find("ValidatingAdmissionPolicy", "torpor-keeps-runs")["spec"]
    jobs, copies = policy["matchConstraints"]["resourceRules"]
    assert (jobs["resources"], jobs["operations"]) == (["jobs"], ["CREATE", "UPDATE", "DELETE"])
    assert (copies["resources"], copies["operations"]) == (["configmaps"], ["CREATE"])
    mine = {verb for group, resource, verb in rules("controller") if resource == "configmaps"}
    assert mine == {"get", "list", "watch", "create"}, "it changes and deletes none"
    assert all("'torpor.dev/run' in " in item["expression"] for item in policy["validations"])
    binding = find("ValidatingAdmissionPolicyBinding", "torpor-keeps-runs")["spec"]
    assert (binding["policyName"], binding["validationActions"]) == ("torpor-keeps-runs", ["Deny"])


def test_with_one_namespace_nodes_are_not_asked_for() -> None:
    for item in rendered("--set", "watchNamespace=shop"):
        for rule in item.get("rules") or ():
            assert "nodes" not in rule.get("resources", ()), item["metadata"]["name"]
