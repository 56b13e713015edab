"""What the CRD's rules in CEL refuse of a Function, in the same words. Pure.

The API server is the first to say it on a cluster. It is said here as well for `torpor dev`, whose
files no API server has seen, and for what was stored before a rule was. Comparisons of two numbers
are made where the numbers are parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torpor.errors import InvalidResource
from torpor.resources.code import check_code
from torpor.resources.fields import Fields
from torpor.resources.instance import check_pod
from torpor.resources.job import check_workload

_LONGEST_NAME = 52
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_ONE_SOURCE = (
    "give exactly one of image (a container that serves HTTP on $PORT) and runtime "
    "(with handler and code)"
)
_NO_WARM = (
    "warm is not served by this version of Torpor; remove it, or keep an instance with "
    "minReplicas: 1"
)
_OURS = (
    "PORT and names that begin with TORPOR_ are set by Torpor; choose another name "
    "(spec.port sets PORT)"
)
_VALUE_SOURCES = ("configMapKeyRef", "secretKeyRef", "fieldRef", "resourceFieldRef")


def check_names(namespace: str, name: str) -> None:
    """Refuse names that no host name or pod can be made from."""
    if not _NAMESPACE.fullmatch(namespace):
        problem = f"{namespace!r} is not a DNS label: use a-z, 0-9 and -, at most 63"
        raise InvalidResource("metadata.namespace", problem)
    if len(name) > _LONGEST_NAME:
        problem = "may have at most 52 characters, so that the names of pods and hosts made from it"
        raise InvalidResource("metadata.name", f"metadata.name {problem} fit")
    if not _NAME.fullmatch(name):
        problem = "is part of a host name: lower case letters, digits and '-', a letter first"
        raise InvalidResource("metadata.name", f"metadata.name {problem}, and no dot")


def check_spec(spec: Fields) -> None:
    """Refuse the first thing that goes against a rule."""
    for field, problem in _source(spec):
        raise InvalidResource(f"spec{field}", problem)
    if spec.has("code"):
        check_code(spec.child("code"))
    check_pod(spec)
    check_workload(spec)
    if spec.child("scaling").has("warm"):
        raise InvalidResource("spec.scaling.warm", _NO_WARM)
    for number, item in enumerate(spec.objects("env")):
        _check_variable(f"spec.env[{number}]", item)
    for number, item in enumerate(spec.objects("envFrom")):
        if (item.get("configMapRef") is None) == (item.get("secretRef") is None):
            problem = "give exactly one of configMapRef and secretRef"
            raise InvalidResource(f"spec.envFrom[{number}]", problem)
    for name in ("command", "args"):
        for number, text in enumerate(spec.texts(name)):
            _check_text(f"spec.{name}[{number}]", text)


def _source(spec: Fields) -> Iterator[tuple[str, str]]:
    runtime = spec.has("runtime")
    if spec.has("image") == runtime:
        yield "", _ONE_SOURCE
    yield from _with_runtime(spec) if runtime else _with_image(spec)


def _with_runtime(spec: Fields) -> Iterator[tuple[str, str]]:
    if not spec.has("code"):
        where = "code.configMap (the name of a ConfigMap), code.inline or code.archive"
        yield ".code", f"a runtime needs code: give {where}"
    if not spec.has("handler"):
        yield ".handler", "a runtime needs a handler: write module.function, such as main.handler"
    for name in ("command", "args"):
        if spec.has(name):
            remove = "a runtime starts its own server, so remove them"
            yield f".{name}", f"command and args go with image; {remove}"
    if spec.text("protocol", "http1") == "h2c":
        yield ".protocol", "protocol h2c goes with image; runtimes speak http1"
    for name in ("readinessProbe", "livenessProbe"):
        if spec.has(name):
            remove = "a runtime tells itself when it is ready, so remove them"
            yield f".{name}", f"readinessProbe and livenessProbe go with image; {remove}"


def _with_image(spec: Fields) -> Iterator[tuple[str, str]]:
    if spec.has("code"):
        yield ".code", "code goes with runtime; an image brings its own code, so remove code"
    if spec.has("handler"):
        remove = "an image answers HTTP itself, so remove handler"
        yield ".handler", f"handler goes with runtime; {remove}"
    if spec.text("payload", "raw") != "raw":
        remove = "an image reads its requests itself, so remove payload"
        yield ".payload", f"payload goes with runtime; {remove}"


def _check_variable(path: str, item: Mapping[str, Any]) -> None:
    name, source = str(item.get("name")), item.get("valueFrom")
    if name == "PORT" or name.startswith("TORPOR_"):
        raise InvalidResource(f"{path}.name", _OURS)
    if item.get("value") is not None and source is not None:
        raise InvalidResource(path, "give value or valueFrom, not both")
    if source is not None and sum(key in _VALUE_SOURCES for key in source) != 1:
        problem = f"give exactly one of {', '.join(_VALUE_SOURCES[:-1])} and {_VALUE_SOURCES[-1]}"
        raise InvalidResource(f"{path}.valueFrom", problem)
    _check_text(f"{path}.value", str(item.get("value") or ""))


def _check_text(path: str, text: str) -> None:
    if "\0" in text:
        raise InvalidResource(path, "cannot hold the character NUL, which ends a text in a process")
