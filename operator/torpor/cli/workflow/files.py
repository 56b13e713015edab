"""Definitions in files: Workflows in YAML, and bare definitions as JSON or YAML."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from torpor.dev.manifests import BadFolder, parse_yaml, problems_of, yaml_files
from torpor.errors import InvalidResource, TorporError
from torpor.resources.workflow import Workflow

STDIN = "-"
_DEFINITION = "spec.definition."
"""Problems inside of it are told by the language's own validator, in its words."""
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class BadFile(TorporError):
    """A file that cannot be read, or that holds no definition."""

    code = "bad-file"


@dataclass(frozen=True, slots=True)
class Found:
    """A definition: its text as JSON, and what is wrong with the object around it.

    `name` is the Workflow's, None for a bare definition; `type` is None where it is not said.
    """

    file: str
    name: str | None
    text: str
    type: str | None = None
    wrong: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The file, and the Workflow in it."""
        return f"{self.file}: Workflow {self.name}" if self.name else self.file


def read_definitions(names: Sequence[str]) -> list[Found]:
    """The definitions in files and folders; BadFile when one cannot be read or has none."""
    documents = [item for name in names for item in _documents(name)]
    maps = {
        (_namespace(body), body["metadata"].get("name")): body.get("data") or {}
        for _, body in documents
        if isinstance(body, dict) and body.get("kind") == "ConfigMap" and _has_metadata(body)
    }
    found = [item for file, body in documents for item in _found(file, body, maps)]
    if not found:
        raise BadFile(
            f"{', '.join(names)}: no definition: neither a Workflow nor a `States` object"
        )
    return found


def _documents(name: str) -> Iterator[tuple[str, Any]]:
    path = Path(name)
    if name != STDIN and path.is_dir():
        for file in [*yaml_files(path), *sorted(path.glob("*.asl.json"))]:
            yield from _documents(str(file))
        return
    text = _read(name)
    if path.suffix == ".json" or text.lstrip().startswith("{"):
        yield name, _json(text)
        return
    try:
        yield from ((name, body) for body in parse_yaml(text, name))
    except BadFolder as error:
        raise BadFile(str(error)) from error


def _read(name: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
        return raw.decode()
    except OSError as error:
        raise BadFile(f"{name}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadFile(f"{name}: not text in UTF-8: {error}") from None


def _json(text: str) -> Any:
    """A Workflow written as JSON as its object; anything else as text, for exact problems."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return body if isinstance(body, dict) and "kind" in body else text


def _found(
    file: str, body: Any, maps: Mapping[tuple[str, Any], Mapping[str, str]]
) -> Iterator[Found]:
    if isinstance(body, str):
        yield Found(file, None, body)
    elif isinstance(body, dict) and body.get("kind") == "Workflow":
        yield _workflow(file, body, maps)
    elif isinstance(body, dict) and "kind" not in body and {"States", "StartAt"} & body.keys():
        yield Found(file, None, json.dumps(body))


def _workflow(
    file: str, body: Mapping[str, Any], maps: Mapping[tuple[str, Any], Mapping[str, str]]
) -> Found:
    spec = body.get("spec") if isinstance(body.get("spec"), dict) else {}
    assert isinstance(spec, dict), "just checked"
    named = body["metadata"].get("name", "?") if _has_metadata(body) else "?"
    wrong = [text.removeprefix(f"Workflow {named}: ") for text in problems_of(body)]
    wrong = [text for text in wrong if not text.startswith(_DEFINITION)] or _unparsed(body, wrong)
    wrong += _misnamed(body)
    text, missing = _definition(body, spec, maps)
    wrong += missing
    kind = spec.get("type")
    known = kind.upper() if isinstance(kind, str) else None
    return Found(file, f"{_namespace(body)}/{named}", text, known, tuple(wrong))


def _misnamed(body: Mapping[str, Any]) -> list[str]:
    """What is wrong with a name that is there; a missing one is told by the schema."""
    name = body["metadata"].get("name") if _has_metadata(body) else None
    if not isinstance(name, str) or _LABEL.fullmatch(name):
        return []
    return [f"metadata.name: {name!r} is not a DNS label: use a-z, 0-9 and -, at most 63"]


def _unparsed(body: Mapping[str, Any], wrong: list[str]) -> list[str]:
    """What only reading the whole object tells, when its schema found nothing."""
    if wrong:
        return []
    try:
        Workflow.parse(body)
    except InvalidResource as error:
        return [str(error)]
    return []


def _definition(
    body: Mapping[str, Any],
    spec: Mapping[str, Any],
    maps: Mapping[tuple[str, Any], Mapping[str, str]],
) -> tuple[str, list[str]]:
    if "definition" in spec:
        given = spec["definition"]
        return (given if isinstance(given, str) else json.dumps(given)), []
    source = spec.get("definitionFrom")
    reference = source.get("configMapKeyRef") if isinstance(source, dict) else None
    if not isinstance(reference, dict):
        return "", []
    data = maps.get((_namespace(body), reference.get("name")))
    text = (data or {}).get(str(reference.get("key")))
    if text is None:
        place = f"{reference.get('name')}, key {reference.get('key')}"
        return "", [f"spec.definitionFrom.configMapKeyRef: no ConfigMap {place} in these files"]
    return _as_json(text), []


def _as_json(text: str) -> str:
    """A definition's text; YAML in a ConfigMap as JSON."""
    if text.lstrip().startswith("{"):
        return text
    try:
        return json.dumps(yaml.safe_load(text))
    except (yaml.YAMLError, TypeError):
        return text


def _has_metadata(body: Mapping[str, Any]) -> bool:
    return isinstance(body.get("metadata"), dict)


def _namespace(body: Mapping[str, Any]) -> str:
    return str(body["metadata"].get("namespace") or "default") if _has_metadata(body) else "default"
