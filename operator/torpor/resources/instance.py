"""What a Function asks of its instances as pods: volumes, GPUs, probes. Pure.

What the CRD's rules in CEL refuse of them is refused here as well, in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torpor.errors import InvalidResource
from torpor.resources.fields import Fields

GPU_RESOURCE = "nvidia.com/gpu"
_SOURCES = ("configMap", "secret", "emptyDir", "persistentVolumeClaim")
_OWN_VOLUMES = ("tmp", "code")
_ONE_SOURCE = (
    "give each volume exactly one of configMap, secret, emptyDir and persistentVolumeClaim"
)
_OWN_NAME = "the volumes tmp and code are Torpor's; choose another name"
_PLACE = re.compile(r"(?!/var/torpor(/|$))(?!.*(^|/)\.\.(/|$))/[^:]+", re.DOTALL)
_BAD_PLACE = (
    "mountPath must be an absolute path without ':' and '..', and outside of /var/torpor, "
    "which is Torpor's"
)
_SAME_PLACE = "two volumes have the same mountPath; give each its own"
_ONE_PROBE = (
    "give a probe exactly one of httpGet (with a path) and tcpSocket: {}; both use spec.port"
)
_GPU_TWICE = "gpu.count sets the limit nvidia.com/gpu; remove it from resources.limits"
_TIMES = ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold")


@dataclass(frozen=True, slots=True)
class Gpu:
    """`count` NVIDIA GPUs, each one of `products`, or any when there are none."""

    count: int = 1
    products: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume at one place; `source` is as in a Pod: its kind, and what that kind needs."""

    name: str
    mount_path: str
    sub_path: str | None
    read_only: bool
    source: Mapping[str, Any]

    @property
    def is_writable(self) -> bool:
        """Whether an instance may leave something in it that outlives the instance."""
        return "persistentVolumeClaim" in self.source and not self.read_only


@dataclass(frozen=True, slots=True)
class Probe:
    """How the kubelet asks an instance; by TCP where `http_path` is None.

    `times` has those of Kubernetes' fields that the user gave, in seconds or attempts.
    """

    http_path: str | None
    times: Mapping[str, int]


def gpu(fields: Fields) -> Gpu:
    """Return what `spec.gpu` says."""
    return Gpu(fields.integer("count", 1, low=1, high=16), fields.texts("products"))


def volume(fields: Fields) -> Volume:
    """Return one item of `spec.volumes`."""
    source = next(name for name in _SOURCES if fields.has(name))
    return Volume(
        fields.required_text("name"),
        fields.required_text("mountPath"),
        fields.optional_text("subPath"),
        fields.boolean("readOnly", default=False),
        {source: fields.mapping(source)},
    )


def probe(spec: Fields, name: str) -> Probe | None:
    """Return the probe of that name in `spec`, None when there is none."""
    if not spec.has(name):
        return None
    fields = spec.child(name)
    path = fields.child("httpGet").required_text("path") if fields.has("httpGet") else None
    return Probe(path, {item: fields.integer(item, 0) for item in _TIMES if fields.has(item)})


def check_pod(spec: Fields) -> None:
    """Refuse the first thing that goes against a rule."""
    if spec.has("gpu") and GPU_RESOURCE in spec.child("resources").mapping("limits"):
        raise InvalidResource("spec.resources", _GPU_TWICE)
    for name in ("readinessProbe", "livenessProbe"):
        found = spec.child(name)
        if spec.has(name) and found.has("httpGet") == found.has("tcpSocket"):
            raise InvalidResource(f"spec.{name}", _ONE_PROBE)
    places = [_checked_place(n, item) for n, item in enumerate(spec.children("volumes"))]
    if len(places) != len(set(places)):
        raise InvalidResource("spec.volumes", _SAME_PLACE)


def _checked_place(number: int, item: Fields) -> str:
    path = f"spec.volumes[{number}]"
    if sum(map(item.has, _SOURCES)) != 1:
        raise InvalidResource(path, _ONE_SOURCE)
    if item.text("name", "") in _OWN_VOLUMES:
        raise InvalidResource(f"{path}.name", _OWN_NAME)
    place = item.text("mountPath", "")
    if not _PLACE.fullmatch(place):
        raise InvalidResource(f"{path}.mountPath", _BAD_PLACE)
    return place
