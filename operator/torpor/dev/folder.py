"""A folder of YAML as what runs locally: Functions, each with its code, Workflows and Triggers."""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from torpor.dev.manifests import BadFolder, Manifest, read, yaml_files
from torpor.errors import InvalidResource
from torpor.platform.local_program import Program
from torpor.resources.function import Function
from torpor.resources.names import GROUP, FunctionKey
from torpor.scaling.provisioned import ProvisionedFloor

if TYPE_CHECKING:
    from torpor.dev.triggers import LocalTrigger, SecretFields
    from torpor.dev.workflows import LocalWorkflow

DEMO_PATH = f"{GROUP}/demo-path"
"""Annotation: the path that the demo requests; `{n}` in it is the request's number."""
DEMO_EXPECT = f"{GROUP}/demo-expect"
"""Annotation: the body that the demo expects, `{n}` as above."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A Function of the folder: how to run it, and what the demo asks it and expects."""

    program: Program
    demo_path: str
    demo_expect: str | None


Entries = Mapping[FunctionKey, Entry]
_Files = Mapping[tuple[str, str], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Folder:
    """All that runs."""

    functions: Entries
    workflows: Mapping[FunctionKey, LocalWorkflow]
    triggers: Mapping[FunctionKey, LocalTrigger] = field(default_factory=dict)
    secrets: SecretFields = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs."""
        return not self.functions and not self.workflows and not self.triggers

    @property
    def has_events(self) -> bool:
        """Whether there is a Trigger that more is needed for than the gateway."""
        return any(not local.is_direct for local in self.triggers.values())


def load_folder(folder: Path) -> Folder:
    """Return what the YAML files of `folder` have, maybe nothing; BadFolder says what is wrong."""
    manifests, wrong = _read_all(yaml_files(folder))
    kinds: defaultdict[str, list[Manifest]] = defaultdict(list)
    for item in manifests:
        kinds[item.kind].append(item)
    wrong += _doubles(manifests)
    maps = {item.name: item.body.get("data") or {} for item in kinds["ConfigMap"]}
    entries: dict[FunctionKey, Entry] = {}
    for item in kinds["Function"]:
        try:
            entry = _entry(item, maps)
        except InvalidResource as error:
            wrong.append(f"{item.file}: Function {item.name[1]}: {error}")
        else:
            entries[entry.program.function.key] = entry
    machines, refused = _workflows(kinds["Workflow"], maps)
    triggers, secrets, unfit = _triggers(kinds["Trigger"], kinds["Secret"])
    wrong += refused + unfit
    if wrong:
        raise BadFolder("\n".join(wrong))
    return Folder(entries, machines, triggers, secrets)


def _workflows(
    items: Sequence[Manifest], maps: _Files
) -> tuple[dict[FunctionKey, LocalWorkflow], list[str]]:
    if not items:
        return {}, []
    from torpor.dev.workflows import read_workflow  # the language is loaded only where it is used

    found: dict[FunctionKey, LocalWorkflow] = {}
    wrong: list[str] = []
    for item in items:
        try:
            workflow = read_workflow(item, maps)
        except BadFolder as error:
            wrong.append(str(error))
        else:
            found[workflow.key] = workflow
    return found, wrong


def _triggers(
    items: Sequence[Manifest], secrets: Sequence[Manifest]
) -> tuple[dict[FunctionKey, LocalTrigger], SecretFields, list[str]]:
    if not items and not secrets:
        return {}, {}, []
    from torpor.dev.triggers import read_secret, read_triggers  # loaded only where it is used

    found, wrong = read_triggers(items)
    fields: dict[tuple[str, str], Mapping[str, bytes]] = {}
    for item in secrets:
        try:
            fields[item.name] = read_secret(item)
        except BadFolder as error:
            wrong.append(str(error))
    return found, fields, wrong


def fingerprint(folder: Path) -> Mapping[str, tuple[int, int]]:
    """Return modification time and size of every file below `folder`, to see that one changed."""
    found: dict[str, tuple[int, int]] = {}
    for place, folders, names in os.walk(folder):  # passes over what vanishes while it looks
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            file = os.path.join(place, name)
            try:
                status = os.stat(file)
            except OSError:  # an editor replaced it, or a link leads nowhere
                continue
            if stat.S_ISREG(status.st_mode):
                found[file] = (status.st_mtime_ns, status.st_size)
    return found


def _read_all(files: Sequence[Path]) -> tuple[list[Manifest], list[str]]:
    manifests: list[Manifest] = []
    wrong: list[str] = []
    for file in files:
        try:
            manifests += read(file)
        except BadFolder as error:
            wrong.append(str(error))
    return manifests, wrong


def _doubles(manifests: Sequence[Manifest]) -> Iterator[str]:
    counts = Counter((item.kind, item.name) for item in manifests)
    for (kind, name), count in counts.items():
        if count > 1:
            files = [str(item.file) for item in manifests if (item.kind, item.name) == (kind, name)]
            yield f"{' and '.join(dict.fromkeys(files))}: {kind} {'/'.join(name)} is there twice"


def _entry(item: Manifest, maps: _Files) -> Entry:
    function = Function.parse(item.body)
    ProvisionedFloor(function.scaling.provisioned)  # refuses what is no cron line or time zone
    program = Program(function, _code(item.file, function, maps))
    notes = item.body["metadata"].get("annotations") or {}
    return Entry(program, notes.get(DEMO_PATH, "/"), notes.get(DEMO_EXPECT))


def _code(file: Path, function: Function, maps: _Files) -> Mapping[str, str]:
    name = function.code.config_map if function.code else None
    if name is None:
        return {}
    found = maps.get((function.key.namespace, name))
    if found is None:
        return _beside(file.parent / name)
    wrong = next((item for item in found if "/" in item), None)
    if wrong is not None:
        text = f"ConfigMap {name}: data: the name {wrong!r} cannot contain a slash"
        raise InvalidResource("spec.code.configMap", text)
    return found


def _beside(folder: Path) -> Mapping[str, str]:
    """Return the files of a folder that stands for a ConfigMap of its name."""
    if not folder.is_dir():
        text = f"no ConfigMap {folder.name!r} in the folder, and no folder {folder}"
        raise InvalidResource("spec.code.configMap", text)
    try:
        files = sorted(item for item in folder.iterdir() if item.is_file())
        return {item.name: item.read_text(encoding="utf-8") for item in files}
    except UnicodeDecodeError as error:
        text = f"{folder}: a file in it is not text in UTF-8: {error}"
        raise InvalidResource("spec.code.configMap", text) from error
    except OSError as error:
        text = f"{error.filename}: cannot be read: {error.strerror}"
        raise InvalidResource("spec.code.configMap", text) from error
