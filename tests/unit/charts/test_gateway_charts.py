"""Who may use the Lambda API of a gateway that the chart installed."""

from __future__ import annotations

from tests.unit.charts.test_charts import container, environment, needs_helm

pytestmark = needs_helm
SECRET = ("--set", "gateway.api.secretName=lambda-clients")


def test_by_default_nobody_is_known() -> None:
    told = environment("gateway")
    assert told["TORPOR_API_CLIENTS"] == "known"
    assert not {"TORPOR_ACCESS_KEYS", "TORPOR_API_TOKEN"} & told.keys()


def test_keys_and_token_come_from_the_secret_and_a_gateway_starts_without_it() -> None:
    found = {item["name"]: item for item in container("gateway", *SECRET)["env"]}
    for name, field in (("TORPOR_ACCESS_KEYS", "keys"), ("TORPOR_API_TOKEN", "token")):
        asked = found[name]["valueFrom"]["secretKeyRef"]
        assert asked == {"name": "lambda-clients", "key": field, "optional": True}


def test_anyone_can_be_let_in() -> None:
    told = environment("gateway", "--set", "gateway.api.clients=anyone")
    assert told["TORPOR_API_CLIENTS"] == "anyone"
