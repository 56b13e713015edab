"""Reads a folder of YAML: the Functions in it, each with its code, ready to run locally."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from torpor.errors import InvalidResource, TorporError
from torpor.platform.local_program import Program
from torpor.resources.function import Function
from torpor.resources.names import API_VERSION, GROUP, FunctionKey

DEMO_PATH = f"{GROUP}/demo-path"
"""Annotation: the path that the demo requests; `{n}` in it is the request's number."""
DEMO_EXPECT = f"{GROUP}/demo-expect"
"""Annotation: the body that the demo expects, `{n}` as above."""
_SUFFIXES = (".yaml", ".yml")


class BadFolder(TorporError):
    """A file that cannot be understood; the message names it, and the place in it."""

    code = "bad-folder"


@dataclass(frozen=True, slots=True)
class Entry:
    """A Function of the folder: how to run it, and what the demo asks it and expects."""

    program: Program
    demo_path: str
    demo_expect: str | None


Entries = Mapping[FunctionKey, Entry]


def load_folder(folder: Path) -> Entries:
    """Return the Functions in the YAML files of `folder`; BadFolder says what is wrong where."""
    if not folder.is_dir():
        raise BadFolder(f"{folder}: there is no such folder")
    documents = [pair for file in _yaml_files(folder) for pair in _documents(file)]
    maps = {
        _name(body): _texts(file, body) for file, body in documents if body["kind"] == "ConfigMap"
    }
    entries: dict[FunctionKey, Entry] = {}
    for file, body in documents:
        if body["kind"] != "Function":
            continue
        entry = _entry(file, body, maps)
        key = entry.program.function.key
        if key in entries:
            raise BadFolder(f"{file}: Function {key} is there twice")
        entries[key] = entry
    if not entries:
        raise BadFolder(f"{folder}: no Function in any *.yaml file")
    return entries


def fingerprint(folder: Path) -> Mapping[str, tuple[int, int]]:
    """Return modification time and size of every file below `folder`, to see that one changed."""
    found: dict[str, tuple[int, int]] = {}
    for file in folder.rglob("*"):
        try:
            status = file.stat()
        except FileNotFoundError:  # an editor replaced it between the two calls
            continue
        if file.is_file() and "__pycache__" not in file.parts:
            found[str(file)] = (status.st_mtime_ns, status.st_size)
    return found


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in _SUFFIXES)


def _documents(file: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    try:
        found = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadFolder(f"{file}: not YAML: {error}") from error
    for number, body in enumerate(found, start=1):
        if body is None:
            continue
        where = f"{file}, document {number}"
        if not isinstance(body, dict) or not isinstance(body.get("kind"), str):
            raise BadFolder(f"{where}: not a Kubernetes object: it has no kind")
        if body["kind"] == "Function" and body.get("apiVersion") != API_VERSION:
            raise BadFolder(f"{where}: apiVersion: must be {API_VERSION}")
        yield file, body


def _entry(file: Path, body: Mapping[str, Any], maps: Mapping[str, Mapping[str, str]]) -> Entry:
    try:
        function = Function.parse(body)
        program = Program(function, _code(file, function, maps))
    except InvalidResource as error:
        raise BadFolder(f"{file}: Function {_name(body)}: {error}") from error
    notes = (body.get("metadata") or {}).get("annotations") or {}
    expect = notes.get(DEMO_EXPECT)
    return Entry(program, str(notes.get(DEMO_PATH, "/")), None if expect is None else str(expect))


def _code(
    file: Path, function: Function, maps: Mapping[str, Mapping[str, str]]
) -> Mapping[str, str]:
    name = function.code.config_map if function.code else None
    if name is None:
        return {}
    if name in maps:
        return maps[name]
    beside = file.parent / name
    if not beside.is_dir():
        raise InvalidResource(
            "spec.code.configMap", f"no ConfigMap {name!r} in the folder, and no folder {beside}"
        )
    files = sorted(item for item in beside.iterdir() if item.is_file())
    return {item.name: item.read_text(encoding="utf-8") for item in files}


def _texts(file: Path, body: Mapping[str, Any]) -> Mapping[str, str]:
    data = body.get("data") or {}
    if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
        raise BadFolder(f"{file}: ConfigMap {_name(body)}: data: must map names to text")
    if any("/" in name for name in data):
        raise BadFolder(f"{file}: ConfigMap {_name(body)}: data: a name cannot contain a slash")
    return data


def _name(body: Mapping[str, Any]) -> str:
    return str((body.get("metadata") or {}).get("name", ""))
