"""What no document may do: hide a command from the tests, show an object that is refused, or
name a file, a `make` target or a verb of `torpor` that does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.docs.blocks import BadMark, Block
from tests.docs.library import ROOT, blocks_of, documents
from tests.unit.crds.schema import problems as schema_problems
from torpor.cli.main import VERBS
from torpor.errors import InvalidResource
from torpor.resources.function import Function
from torpor.resources.names import API_VERSION
from torpor.resources.trigger import Trigger
from torpor.resources.workflow import Workflow

_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_MAKE = re.compile(r"`make ([a-z][a-z-]*)`")
_TORPOR = re.compile(r"`torpor ([a-z]+)")
_VERBS = frozenset(verb.name for verb in VERBS)
_TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)


def problems() -> Iterator[str]:
    """Yield what is wrong in all documents, each with its place."""
    for document in documents():
        try:
            found = blocks_of(document)
        except BadMark as error:
            yield str(error)
            continue
        for block in found:
            yield from of_block(block)
        yield from of_text(document, (ROOT / document).read_text(), found)


def of_block(block: Block) -> Iterator[str]:
    """Yield what is wrong with one block."""
    mark = block.mark
    if block.is_shell and (mark is None or mark.file):
        yield f"{block}: commands without a mark: put <!-- run: … --> or <!-- not-run: … --> above"
    if mark is not None and not mark.file and not block.is_shell:
        yield f"{block}: only a shell block is run: begin it with ```sh"
    if block.language in ("yaml", "yml"):
        yield from of_yaml(block)


def of_text(document: Path, text: str, found: list[Block]) -> Iterator[str]:
    """Yield what is wrong outside of the blocks: hidden commands, dead links, unknown names."""
    inside = {n for block in found for n in _lines(block)}
    before = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if number in inside:
            continue
        where = f"{document}:{number}"
        if line.startswith(("    ", "\t")) and not before.strip():
            yield f"{where}: an indented block: write it between fences, ```sh or ```text"
        before = line
        yield from (f"{where}: no such file: {link}" for link in _dead_links(document, line))
        yield from (f"{where}: no such command: {name}" for name in _unknown(line))


def _lines(block: Block) -> range:
    return range(block.line, block.line + block.text.count("\n") + 2)


def _dead_links(document: Path, line: str) -> Iterator[str]:
    for link in _LINK.findall(line):
        if "://" not in link and not (ROOT / document.parent / link).exists():
            yield link


def _unknown(line: str) -> Iterator[str]:
    targets = _TARGET.findall((ROOT / "Makefile").read_text())
    yield from (f"make {name}" for name in _MAKE.findall(line) if name not in targets)
    yield from (f"torpor {name}" for name in _TORPOR.findall(line) if name not in _VERBS)


def of_yaml(block: Block) -> Iterator[str]:
    """Yield what is wrong with the objects of a YAML block."""
    try:
        objects = list(yaml.safe_load_all(block.text))
    except yaml.YAMLError as error:
        yield f"{block}: not YAML: {error}"
        return
    for obj in objects:
        if not isinstance(obj, dict) or not {"apiVersion", "kind", "metadata"} <= obj.keys():
            yield f"{block}: not a whole Kubernetes object, which can be applied"
        elif obj["kind"] in _PARSERS:
            yield from (f"{block}: {problem}" for problem in _of_ours(obj))


_PARSERS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "Function": Function.parse,
    "Workflow": Workflow.parse,
    "Trigger": Trigger.parse,
}


def _of_ours(obj: Mapping[str, Any]) -> Iterator[str]:
    if obj["apiVersion"] != API_VERSION:
        yield f"apiVersion: must be {API_VERSION}"
    yield from schema_problems(obj["spec"], _schema(obj["kind"]), "spec")
    try:
        _PARSERS[obj["kind"]](obj)
    except InvalidResource as error:
        yield str(error)


@cache
def _schema(kind: str) -> Mapping[str, Any]:
    crd = yaml.safe_load((ROOT / "crds" / f"{kind.lower()}s.yaml").read_text())
    version = crd["spec"]["versions"][0]
    schema: Mapping[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema
