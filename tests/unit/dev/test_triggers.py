"""The Triggers and Secrets of a folder: what of them is taken, and what is refused."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml

from torpor.dev.folder import Folder, load_folder
from torpor.dev.manifests import BadFolder
from torpor.dev.triggers import FolderSecrets
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import SourceKind, TargetKind, Trigger
from torpor.triggers.admission import admit
from torpor.triggers.base import SourceWorld
from torpor.triggers.sources.catalog import SOURCES

BUS: dict[str, Any] = {"source": {"bus": {"name": "main"}}, "target": {"function": {"name": "f"}}}
KEY = FunctionKey("shop", "orders")
EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "triggers"


def trigger(name: str = "orders", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Trigger",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {**BUS, **spec},
    }


def secret(**fields: Any) -> dict[str, Any]:
    meta = {"name": "db", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, **fields}


def load(folder: Path, *objects: dict[str, Any]) -> Folder:
    (folder / "all.yaml").write_text(yaml.safe_dump_all(objects))
    return load_folder(folder)


def refused(folder: Path, *objects: dict[str, Any]) -> list[str]:
    with pytest.raises(BadFolder) as found:
        load(folder, *objects)
    return str(found.value).replace(f"{folder}/", "").splitlines()


def test_a_trigger_is_taken_with_a_uid_that_lasts(tmp_path: Path) -> None:
    one, two = (load(tmp_path, trigger()).triggers[KEY] for _ in range(2))
    assert one == two
    assert one.trigger.uid == "dev-shop-orders"
    assert one.trigger.source.kind is SourceKind.BUS
    assert one.object["spec"] == BUS


def test_a_changed_spec_is_another_generation(tmp_path: Path) -> None:
    one = load(tmp_path, trigger()).triggers[KEY]
    two = load(tmp_path, trigger(suspend=True)).triggers[KEY]
    assert one.trigger.generation != two.trigger.generation


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"filter": {"pattern": {"source": "a"}}}, "all.yaml: Trigger orders: "),
        ({"filter": {"cesql": "type ="}}, "Trigger orders: "),
        ({"transform": {"jsonata": "("}}, "Trigger orders: "),
        ({"source": {}}, "give exactly one of http"),
        ({"source": {"schedule": {"at": "tomorrow"}}},
         "spec.source.schedule.at: 'tomorrow' is no instant; write it as 2027-01-31T09:00:00Z"),
        ({"source": {"storage": {"bucket": "b", "pollSeconds": "1"}}},
         "spec.source.storage.pollSeconds: must be a number, not a string"),
        ({"source": {"storage": {"bucket": "b", "pollSeconds": 0.1}}},
         "spec.source.storage.pollSeconds: must be at least 0.5, is 0.1"),
        ({"delivery": {"timeoutSeconds": float("nan")}}, "must be a number that JSON has"),
        ({"delivery": {"retryOn": [500, 500]}}, "spec.delivery.retryOn[1]: '500' is there twice"),
        ({"delivery": {"maxTries": 3}}, "spec.delivery.maxTries: unknown field; did you mean"),
        ({"target": {"queue": {"name": "Q!"}}}, "spec.target.queue.name: 'Q!' must match"),
    ],
)  # fmt: skip
def test_what_the_cluster_refuses_is_refused(
    tmp_path: Path, spec: dict[str, Any], told: str
) -> None:
    [line] = refused(tmp_path, trigger(**spec))
    assert told in line


def test_one_queue_has_one_taker(tmp_path: Path) -> None:
    queue = {"queue": {"name": "jobs"}}
    [line] = refused(tmp_path, trigger("a", source=queue), trigger("b", source=queue))
    assert line == "all.yaml: Trigger b: shop/a has this queue already"


def test_requests_that_a_function_answers_need_no_broker(tmp_path: Path) -> None:
    found = load(tmp_path, trigger(source={"http": {"path": "/a"}}))
    assert not found.has_events
    assert load(tmp_path, trigger(source={"http": {"async": True}})).has_events
    claim = found.triggers[KEY].claim
    assert claim is not None
    assert claim.route is not None


def test_secrets_are_read_as_written(tmp_path: Path) -> None:
    coded = b64encode(b"coded").decode()
    data = {"data": {"a": coded, "b": coded}, "stringData": {"b": "plain"}}
    found = load(tmp_path, trigger(), secret(**data)).secrets
    assert found == {("shop", "db"): {"a": b"coded", "b": b"plain"}}


def test_a_secret_that_is_no_base64(tmp_path: Path) -> None:
    [line] = refused(tmp_path, trigger(), secret(data={"a": "plain text"}))
    assert line.startswith("all.yaml: Secret db: data.a: not base64")
    assert line.endswith("write plain text in stringData")


class NoPositions:
    async def get(self, trigger: Trigger, name: str) -> bytes | None:
        return None

    async def put(self, trigger: Trigger, name: str, value: bytes) -> None:
        raise AssertionError("nothing is read here")


@pytest.mark.parametrize("folder", sorted(EXAMPLES.glob("*/")), ids=lambda path: path.name)
def test_every_example_is_complete(folder: Path) -> None:
    found = load_folder(folder)
    assert found.triggers
    world = SourceWorld(
        secrets=FolderSecrets(found.secrets),
        positions=NoPositions(),
        wall=lambda: 0.0,
        sleep=asyncio.sleep,
        subscribed=lambda: None,
        api=object(),
        objects_url="file:///tmp",
    )
    for key, local in found.triggers.items():
        target = local.trigger.target
        assert target.kind is TargetKind.FUNCTION
        assert FunctionKey(key.namespace, target.name) in found.functions
        assert admit(key, local.object, SOURCES, world).key == key
        secret = local.trigger.source.settings.get("secret")
        assert secret is None or (key.namespace, secret) in found.secrets


def test_the_examples_have_every_source() -> None:
    kinds = {
        local.trigger.source.kind
        for folder in EXAMPLES.glob("*/")
        for local in load_folder(folder).triggers.values()
    }
    assert kinds == set(SourceKind)
