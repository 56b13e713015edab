"""Reads YAML files as `kubectl apply` and the API server would: strictly, and all problems at once.

The CRDs are the truth about the fields; they lie in the wheel beside this package, and in a
checkout at the top.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from torpor.dev.schema import Schema, problems
from torpor.errors import TorporError
from torpor.resources.names import API_VERSION, GROUP

_CRDS = {
    "Function": "functions.yaml",
    "Workflow": "workflows.yaml",
    "Trigger": "triggers.yaml",
}
_SUFFIXES = (".yaml", ".yml")
_PACKAGE = Path(__file__).parents[1]
_PLACES = (_PACKAGE / "crds", _PACKAGE.parents[1] / "crds")
_TEXTS = {"type": "object", "nullable": True, "additionalProperties": {"type": "string"}}
_METADATA: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "namespace": {"type": "string", "default": "default"},
        "labels": _TEXTS,
        "annotations": _TEXTS,
        **{
            name: {"nullable": True}  # the server's own; they do nothing here
            for name in (
                "creationTimestamp",
                "deletionGracePeriodSeconds",
                "deletionTimestamp",
                "finalizers",
                "generateName",
                "generation",
                "managedFields",
                "ownerReferences",
                "resourceVersion",
                "selfLink",
                "uid",
            )
        },
    },
}
_DATA: Mapping[str, Mapping[str, Schema]] = {
    "ConfigMap": {"data": _TEXTS, "binaryData": _TEXTS},
    "Secret": {"data": _TEXTS, "stringData": _TEXTS, "type": {"type": "string"}},
}
"""What is read of Kubernetes' own kinds."""


class BadFolder(TorporError):
    """Files that cannot be understood; each line names the file, and the place in it."""

    code = "bad-folder"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of a file, which its schema allows."""

    file: Path
    body: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.body["kind"])

    @property
    def name(self) -> tuple[str, str]:
        """The object's namespace and name."""
        meta = self.body["metadata"]
        return str(meta.get("namespace") or "default"), str(meta["name"])


def yaml_files(folder: Path) -> list[Path]:
    """Return the YAML files directly in the folder; BadFolder if it cannot be read."""
    if not folder.exists():
        raise BadFolder(f"{folder}: there is no such folder")
    if not folder.is_dir():
        raise BadFolder(f"{folder}: is a file; name the folder that it is in")
    try:
        return sorted(file for file in folder.iterdir() if file.suffix in _SUFFIXES)
    except OSError as error:
        raise BadFolder(f"{folder}: cannot be read: {error.strerror}") from error


def read(file: Path) -> list[Manifest]:
    """Return the objects of a file that count here; BadFolder has a line for each problem."""
    found: list[Manifest] = []
    wrong: list[str] = []
    for number, body in enumerate(_documents(file), start=1):
        if body is None:
            continue
        told = [f"{file}, document {number}: {problem}" for problem in problems_of(body)]
        wrong += told
        if not told and body["kind"] in (*_CRDS, *_DATA):
            found.append(Manifest(file, body))
    if wrong:
        raise BadFolder("\n".join(wrong))
    return found


def _documents(file: Path) -> list[Any]:
    try:
        return parse_yaml(file.read_text(encoding="utf-8"), file)
    except UnicodeDecodeError as error:
        raise BadFolder(f"{file}: not YAML: {error}") from error
    except OSError as error:
        raise BadFolder(f"{file}: cannot be read: {error.strerror}") from error


def parse_yaml(text: str, file: Path | str) -> list[Any]:
    """Return the documents in a text that is `file`'s; BadFolder says where it is not YAML."""
    try:
        return list(yaml.load_all(text, _Loader))
    except yaml.YAMLError as error:
        raise BadFolder(f"{file}{_place(error)}") from error
    except ValueError as error:
        raise BadFolder(f"{file}: not YAML: {error}") from error


def _place(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        what = ", ".join(text for text in (error.problem, error.context) if text)
        return f", line {mark.line + 1}, column {mark.column + 1}: not YAML: {what}"
    return f": not YAML: {' '.join(str(error).split())}"


class _Loader(yaml.SafeLoader):
    """YAML as kubectl reads it: a key must not be there twice, and dates are strings."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} is there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return loader.construct_scalar(node)


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)


def problems_of(body: Any) -> Iterator[str]:
    """Yield what the API server would refuse in an object, each with its kind, name and place."""
    if not isinstance(body, dict) or not isinstance(body.get("kind"), str):
        yield "not a Kubernetes object: it has no kind"
        return
    kind, version = body["kind"], body.get("apiVersion")
    named = _named(body)
    if kind in _CRDS and version != API_VERSION:
        yield f"{named}apiVersion: must be {API_VERSION}"
    elif kind in _CRDS:
        yield from (f"{named}{text}" for text in problems(body, _schema(kind)))
    elif str(version).startswith(f"{GROUP}/"):
        yield f"{named}kind: must be {' or '.join(_CRDS)}, which is all that {GROUP} has"
    elif kind in _DATA:
        yield from (f"{named}{text}" for text in problems(body, _of_core(kind)))


def _named(body: Mapping[str, Any]) -> str:
    meta = body.get("metadata")
    name = meta.get("name") if isinstance(meta, dict) else None
    return f"{body['kind']} {name}: " if isinstance(name, str) else f"{body['kind']}: "


def _of_core(kind: str) -> Schema:
    return {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string", "enum": ["v1"]},
            "kind": {"type": "string"},
            "metadata": _METADATA,
            "immutable": {"type": "boolean", "nullable": True},
            **_DATA[kind],
        },
        "required": ["apiVersion", "metadata"],
    }


def crds() -> Mapping[str, Mapping[str, Any]]:
    """Return the CRD of each kind as this program has it."""
    return {kind: _crd(kind) for kind in _CRDS}


@cache
def _crd(kind: str) -> Mapping[str, Any]:
    file = next(place / _CRDS[kind] for place in _PLACES if place.is_dir())
    found: Mapping[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


@cache
def _schema(kind: str) -> Schema:
    crd = _crd(kind)
    [version] = [item for item in crd["spec"]["versions"] if item["storage"]]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    required = ["apiVersion", "kind", "metadata", *schema["required"]]
    fields = {**schema["properties"], "metadata": _METADATA}
    return {**schema, "properties": fields, "required": required}
