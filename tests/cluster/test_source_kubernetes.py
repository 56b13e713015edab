"""Objects that a Trigger's source watches at a real API server: what is told, what forbidden."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.harness import Lab, kubeconfig
from tests.support.source_rig import KeptPositions, data_of, reading, trigger, world
from torpor.platform.kubernetes import Access, connect, from_kubeconfig
from torpor.platform.kubernetes.resources import CONFIG_MAPS
from torpor.resources.trigger import Trigger
from torpor.triggers.base import SourceMisconfigured
from torpor.triggers.event import Event
from torpor.triggers.sources.kubernetes import open_source


def watching(lab: Lab, **settings: Any) -> Trigger:
    chosen = {"apiVersion": "v1", "kind": "ConfigMap", "labelSelector": "team=blue", **settings}
    return trigger({"kubernetes": chosen}, namespace=lab.namespace)


async def put(lab: Lab, name: str, value: str) -> None:
    meta = {"name": name, "namespace": lab.namespace, "labels": {"team": "blue"}}
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"value": value}}
    await lab.api.apply(obj)


async def remove(lab: Lab, name: str) -> None:
    await lab.api.delete(CONFIG_MAPS.path(lab.namespace, name))


def told(events: list[Event]) -> list[tuple[str, str | None]]:
    return [(event.type.rpartition(".")[2], event.subject) for event in events]


async def test_what_becomes_of_objects_is_told_also_of_the_time_when_nobody_watched(
    lab: Lab,
) -> None:
    positions = KeptPositions()
    async with connect(access=from_kubeconfig(str(kubeconfig()))) as api:
        around = world(positions=positions, api=api)
        await put(lab, "there-before", "1")
        async with reading(open_source, watching(lab), around) as reader:
            await put(lab, "a", "1")
            await put(lab, "a", "2")
            await put(lab, "b", "1")
            events = await reader.take(3)
            assert told(events) == [("added", "a"), ("modified", "a"), ("added", "b")]
            assert data_of(events[1])["data"] == {"value": "2"}
            assert "managedFields" not in data_of(events[0])["metadata"]
            await remove(lab, "b")
            assert told(await reader.take(1)) == [("deleted", "b")]
        await remove(lab, "there-before")
        await put(lab, "a", "3")
        async with reading(open_source, watching(lab), around) as reader:
            assert sorted(told(await reader.take(2))) == [
                ("deleted", "there-before"),
                ("modified", "a"),
            ]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "Unicorn"}, "knows no objects of kind Unicorn"),
        ({"kind": "Namespace"}, "in no namespace"),
        ({"labelSelector": "no selector ="}, "correct spec.source.kubernetes"),
    ],
)
async def test_what_cannot_be_watched_is_told(
    lab: Lab, settings: dict[str, str], says: str
) -> None:
    admin = from_kubeconfig(str(kubeconfig()))
    with pytest.raises(SourceMisconfigured, match=says):
        raise await failure(admin, watching(lab, **settings))


async def test_what_is_forbidden_is_told_with_what_to_do(lab: Lab) -> None:
    token = (await lab.kubectl("create", "token", "default")).strip()
    admin = from_kubeconfig(str(kubeconfig()))
    anonymous = ssl.create_default_context()
    anonymous.check_hostname, anonymous.verify_mode = False, ssl.CERT_NONE
    nobody = Access(admin.server, anonymous, Token(token))
    with pytest.raises(SourceMisconfigured, match=r"events\.kubernetesResources"):
        raise await failure(nobody, watching(lab))


async def failure(access: Access, of: Trigger) -> BaseException:
    async with (
        connect(access=access) as api,
        reading(open_source, of, world(api=api)) as reader,
    ):
        return await reader.failure() or AssertionError("it goes on")


@dataclass(frozen=True)
class Token:
    """A service account that may do nothing."""

    token: str

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def refresh(self) -> None:
        return
