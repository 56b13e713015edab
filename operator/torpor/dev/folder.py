"""A folder of YAML as what runs locally: Functions, each with its code, Workflows and Triggers."""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from torpor.dev.environments import literal
from torpor.dev.manifests import BadFolder, Manifest, read, yaml_files
from torpor.dev.sources import (
    SECRET,
    Fields,
    Sources,
    buckets,
    checkpointed,
    fields_of,
    read_sources,
)
from torpor.dev.standins import Embedded, StandIn
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
    """A Function of the folder: how to run it, and what the demo asks it and expects.

    `declared` is the Function with its environment as written, references and all.
    """

    program: Program
    declared: Function
    demo_path: str
    demo_expect: str | None

    def of(self, function: Function) -> Entry:
        """Return it with its Function as it counts here."""
        return replace(self, program=replace(self.program, function=function))


Entries = Mapping[FunctionKey, Entry]
_Files = Mapping[tuple[str, str], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Folder:
    """All that runs."""

    functions: Entries
    workflows: Mapping[FunctionKey, LocalWorkflow]
    triggers: Mapping[FunctionKey, LocalTrigger] = field(default_factory=dict)
    secrets: SecretFields = field(default_factory=dict)
    sources: Sources = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs."""
        return not self.functions and not self.workflows and not self.triggers

    @property
    def has_events(self) -> bool:
        """Whether there is a Trigger that more is needed for than the gateway."""
        return any(not local.is_direct for local in self.triggers.values())

    def has(self, stand_in: StandIn) -> bool:
        """Whether a Secret or ConfigMap stands for this."""
        return any(source.stand_in is stand_in for source in self.sources.values())

    def settled(self, embedded: Embedded) -> Folder:
        """Return it with what is embedded in the place of what stands for it."""
        fields, moved = fields_of(self.sources, embedded), buckets(self.sources, embedded)
        functions = {
            key: entry.of(checkpointed(literal(entry.declared, fields), moved))
            for key, entry in self.functions.items()
        }
        secrets = {name[1:]: fields[name] for name in fields if name[0] == SECRET}
        return replace(self, functions=functions, secrets=secrets)


def load_folder(folder: Path) -> Folder:
    """Return what the YAML files of `folder` have, maybe nothing; BadFolder says what is wrong."""
    manifests, wrong = _read_all(yaml_files(folder))
    kinds: defaultdict[str, list[Manifest]] = defaultdict(list)
    for item in manifests:
        kinds[item.kind].append(item)
    wrong += _doubles(manifests)
    maps = {item.name: item.body.get("data") or {} for item in kinds["ConfigMap"]}
    sources, unread = read_sources([*kinds["Secret"], *kinds["ConfigMap"]])
    wrong += unread
    fields = fields_of(sources, Embedded())
    entries: dict[FunctionKey, Entry] = {}
    for item in kinds["Function"]:
        try:
            entry = _entry(item, maps, fields)
        except InvalidResource as error:
            wrong.append(f"{item.file}: Function {item.name[1]}: {error}")
        else:
            entries[entry.program.function.key] = entry
    machines, refused = _workflows(kinds["Workflow"], maps)
    triggers, unfit = _triggers(kinds["Trigger"])
    wrong += refused + unfit
    if wrong:
        raise BadFolder("\n".join(wrong))
    return Folder(entries, machines, triggers, sources=sources).settled(Embedded())


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


def _triggers(items: Sequence[Manifest]) -> tuple[dict[FunctionKey, LocalTrigger], list[str]]:
    if not items:
        return {}, []
    from torpor.dev.triggers import read_triggers  # loaded only where it is used

    return read_triggers(items)


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


def _entry(item: Manifest, maps: _Files, fields: Fields) -> Entry:
    declared = Function.parse(item.body)
    ProvisionedFloor(declared.scaling.provisioned)  # refuses what is no cron line or time zone
    function = literal(declared, fields)
    program = Program(function, _code(item.file, function, maps))
    notes = item.body["metadata"].get("annotations") or {}
    return Entry(program, declared, notes.get(DEMO_PATH, "/"), notes.get(DEMO_EXPECT))


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
