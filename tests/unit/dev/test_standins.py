"""What a folder's Secrets and ConfigMaps stand for, and the environments that Functions take."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml

from torpor.dev.folder import Folder, load_folder
from torpor.dev.manifests import BadFolder
from torpor.dev.standins import Embedded, Source, StandIn
from torpor.resources.names import FunctionKey

KEY = FunctionKey("default", "one")
SERVER = "postgresql://torpor@/postgres?host=%2Frun%2Fpg"
EMBEDDED = Embedded(SERVER, Path("/state/a b"), {"TORPOR_EVENTS": "http://127.0.0.1:8200"})
STORAGE = {"url": "s3://media/x", "AWS_ACCESS_KEY_ID": "key", "AWS_REGION": "eu", "note": "n"}


def config(kind: str, name: str, asked: str | None = None, **fields: Any) -> dict[str, Any]:
    notes = {"annotations": {"torpor.dev/embedded": asked}} if asked else {}
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **notes}, **fields}


def secret(asked: str | None = None, **values: str) -> dict[str, Any]:
    return config("Secret", "kept", asked, stringData=values)


def function(**spec: Any) -> dict[str, Any]:
    code = {"inline": "def handler(event, context): return 1"}
    return {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "one"},
        "spec": {"runtime": "python3", "handler": "main.handler", "code": code, **spec},
    }


def load(folder: Path, *objects: dict[str, Any]) -> Folder:
    (folder / "all.yaml").write_text(yaml.safe_dump_all(objects))
    return load_folder(folder)


def refused(folder: Path, *objects: dict[str, Any]) -> str:
    with pytest.raises(BadFolder) as found:
        load(folder, *objects)
    return str(found.value).replace(f"{folder}/", "")


def environment(found: Folder) -> dict[str, Any]:
    return {item["name"]: item["value"] for item in found.functions[KEY].program.function.env}


def test_a_database_is_one_of_the_embedded_server(tmp_path: Path) -> None:
    found = load(tmp_path, secret("postgresql", dsn="postgresql://u:p@db.shop.svc:5432/media"))
    assert found.has(StandIn.POSTGRESQL)
    assert found.secrets["default", "kept"]["dsn"] == b"postgresql://u:p@db.shop.svc:5432/media"
    settled = found.settled(EMBEDDED)
    wanted = b"postgresql://torpor@/media?host=%2Frun%2Fpg"
    assert settled.secrets["default", "kept"]["dsn"] == wanted


@pytest.mark.parametrize("name", ["", "/postgres", "/template1", '/a"b', "/a/b", "/" + 64 * "a"])
def test_what_can_be_no_database_is_refused(tmp_path: Path, name: str) -> None:
    told = refused(tmp_path, secret("postgresql", dsn=f"postgresql://u:p@h{name}"))
    assert told.startswith("all.yaml: Secret kept: stringData.dsn:")
    assert "cannot be a database here: end it with one such as /media" in told


@pytest.mark.parametrize("dsn", ["postgresql://u:hush]@[h/media", "u:hush@h/media"])
def test_an_address_that_is_none_is_refused_and_not_shown(tmp_path: Path, dsn: str) -> None:
    told = refused(tmp_path, secret("postgresql", dsn=dsn))
    assert told.startswith("all.yaml: Secret kept: stringData.dsn: must be an address such as")
    assert "hush" not in told


def test_data_that_is_not_base64_is_refused(tmp_path: Path) -> None:
    told = refused(tmp_path, config("Secret", "kept", data={"word": "grün"}))
    assert "data.word: not base64" in told
    assert "write plain text in stringData" in told


def test_what_a_secret_holds_is_not_in_its_text() -> None:
    assert "hush" not in repr(Source({"word": b"hush"}))


@pytest.mark.parametrize("url", ["s3:///x", "media", "s3://..", "s3://media/../other", ""])
def test_what_names_no_bucket_is_refused(tmp_path: Path, url: str) -> None:
    assert "stringData.url" in refused(tmp_path, secret("storage", url=url))


def test_a_bucket_is_a_folder_without_credentials(tmp_path: Path) -> None:
    settled = load(tmp_path, secret("storage", **STORAGE)).settled(EMBEDDED)
    assert settled.secrets["default", "kept"] == {
        "url": b"file:///state/a%20b/media/x",
        "AWS_ACCESS_KEY_ID": b"",
        "AWS_REGION": b"",
        "note": b"n",
    }


def test_addresses_are_of_what_is_served(tmp_path: Path) -> None:
    asked = config(
        "ConfigMap", "apis", "apis", data={"TORPOR_EVENTS": "http://far", "TORPOR_GATEWAY": "g"}
    )
    body = function(envFrom=[{"configMapRef": {"name": "apis"}}])
    settled = load(tmp_path, asked, body).settled(EMBEDDED)
    assert environment(settled) == {"TORPOR_EVENTS": "http://127.0.0.1:8200", "TORPOR_GATEWAY": "g"}


def test_addresses_of_nothing_are_refused(tmp_path: Path) -> None:
    told = refused(tmp_path, config("ConfigMap", "apis", "apis", data={"GATEWAY": "g"}))
    assert told == (
        "all.yaml: ConfigMap apis: data: has none of the fields "
        "TORPOR_GATEWAY, TORPOR_WORKFLOWS, TORPOR_EVENTS, TORPOR_DASHBOARD"
    )


def test_an_unknown_stand_in_is_refused(tmp_path: Path) -> None:
    told = refused(tmp_path, secret("mysql", dsn="mysql://h/x"))
    assert told == (
        "all.yaml: Secret kept: metadata.annotations[torpor.dev/embedded]: 'mysql' is not "
        "embedded: write one of postgresql, storage, apis"
    )


def test_a_schema_that_is_not_there_is_refused(tmp_path: Path) -> None:
    asked = secret("postgresql", dsn="postgresql://h/media")
    asked["metadata"]["annotations"]["torpor.dev/embedded-schema"] = "tables"
    assert "no ConfigMap 'tables' in the folder" in refused(tmp_path, asked)
    tables = config("ConfigMap", "tables", data={"a.sql": "SELECT 1"})
    assert load(tmp_path, asked, tables).has(StandIn.POSTGRESQL)


def test_a_schema_of_no_database_is_refused(tmp_path: Path) -> None:
    asked = secret("storage", url="s3://media")
    asked["metadata"]["annotations"]["torpor.dev/embedded-schema"] = "tables"
    assert "embedded-schema]: is for embedded: postgresql" in refused(tmp_path, asked)


def test_an_environment_is_of_the_folder_s_own_objects(tmp_path: Path) -> None:
    body = function(
        env=[
            {"name": "A", "value": "own"},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "kept", "key": "b"}}},
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "plain", "key": "c"}}},
            {
                "name": "D",
                "valueFrom": {"secretKeyRef": {"name": "no", "key": "d", "optional": True}},
            },
        ],
        envFrom=[
            {"secretRef": {"name": "kept"}, "prefix": "S_"},
            {"configMapRef": {"name": "plain"}},
            {"configMapRef": {"name": "no", "optional": True}},
        ],
    )
    kept = config("Secret", "kept", data={"b": b64encode(b"two").decode()})
    found = load(tmp_path, body, kept, config("ConfigMap", "plain", data={"c": "3", "A": "theirs"}))
    assert environment(found) == {"S_b": "two", "c": "3", "A": "own", "B": "two", "C": "3"}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            {"envFrom": [{"secretRef": {"name": "no"}}]},
            "spec.envFrom[0].secretRef: no Secret 'no' in the folder: add it",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "kept", "key": "z"}}}]},
            "spec.env[0].valueFrom: 'kept' has no field 'z'",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]},
            "spec.env[0].valueFrom: cannot be read without a cluster",
        ),
    ],
)
def test_what_is_not_in_the_folder_is_refused(
    tmp_path: Path, spec: dict[str, Any], told: str
) -> None:
    assert told in refused(tmp_path, function(**spec), secret(a="1"))


@pytest.mark.parametrize(
    ("store", "moved"),
    [
        ("s3://media/work", "file:///state/a%20b/media/work"),
        ("s3://media", "file:///state/a%20b/media"),
        ("s3://mediathek/work", "s3://mediathek/work"),
    ],
)
def test_checkpoints_are_in_the_folder_of_their_bucket(
    tmp_path: Path, store: str, moved: str
) -> None:
    body = function(workload="Job", job={"checkpoint": {"store": store}})
    settled = load(tmp_path, body, secret("storage", url="s3://media")).settled(EMBEDDED)
    job = settled.functions[KEY].program.function.job
    assert job
    assert job.checkpoint
    assert job.checkpoint.store == moved
