"""`torpor import sam`: files in, objects out, each as the API server would take it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from torpor.cli.options import BadOption
from torpor.dev.folder import load_folder
from torpor.dev.manifests import BadFolder, problems_of
from torpor.importing.sam.importer import Imported, Wanted
from torpor.importing.sam.importer import import_sam as imported_from
from torpor.importing.sam.notes import Note, Weight
from torpor.importing.sam.template import MOST_BYTES, BadTemplate

FILE = "sam.yaml"
ARCHIVES = "archives"


def import_sam(args: argparse.Namespace) -> int:
    """Import a template, and return the exit status."""
    found = _imported(args)
    objects, refused = _accepted(found.objects)
    text = _document(objects, [])
    notes = [*found.notes, *refused, *_refused_together(text)]
    if found.archives and not args.out:
        names = ", ".join(found.archives)
        notes.append(Note(Weight.DIFFERS, ARCHIVES, f"{names}: written with --out FOLDER alone"))
    whole = _document(objects, notes)
    if args.out:
        _write(args.out, whole, found.archives)
    else:
        print(whole, end="")
    for note in notes:
        print(f"torpor import: {note}", file=sys.stderr)
    return int(args.strict and any(note.weight is Weight.LEFT_OUT for note in notes))


def _imported(args: argparse.Namespace) -> Imported:
    wanted = Wanted(
        parameters=_pairs("--parameter", args.parameter),
        namespace=args.namespace,
        events_url=args.events_url.rstrip("/"),
        archives_url=args.archives.rstrip("/"),
        env=_pairs("--env", args.env),
    )
    try:
        with args.template.open("rb") as file:
            text = file.read(MOST_BYTES + 1).decode()
        return imported_from(text, args.template.parent, wanted)
    except UnicodeDecodeError as error:
        raise BadTemplate(f"{args.template}: not text in UTF-8: {error}") from error
    except OSError as error:
        raise BadTemplate(f"{error.filename}: cannot be read: {error.strerror}") from error


def _accepted(objects: Iterable[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Note]]:
    """Return the objects that the CRDs allow, and a note for each problem of the others."""
    good: list[Mapping[str, Any]] = []
    notes: list[Note] = []
    for body in objects:
        wrong = list(problems_of(body))
        notes += [Note(Weight.LEFT_OUT, str(body["kind"]), problem) for problem in wrong]
        if not wrong:
            good.append(body)
    return good, notes


def _refused_together(text: str) -> list[Note]:
    """Return a note for each thing that is refused though its fields are allowed."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, FILE).write_text(text, encoding="utf-8")
        try:
            load_folder(Path(place))
        except BadFolder as error:
            lines = str(error).replace(f"{place}/{FILE}: ", "").splitlines()
            return [Note(Weight.LEFT_OUT, "refused", line) for line in lines]
    return []


def _document(objects: Sequence[Mapping[str, Any]], notes: Sequence[Note]) -> str:
    head = "".join(f"# {note}\n" for note in notes)
    return head + "---\n".join(yaml.dump(it, Dumper=_Dumper, **_STYLE) for it in objects)


def _write(folder: Path, text: str, archives: Mapping[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(text, encoding="utf-8")
        for name, content in archives.items():
            (folder / ARCHIVES).mkdir(exist_ok=True)
            (folder / ARCHIVES / name).write_bytes(content)
    except OSError as error:
        raise BadOption(f"--out {error.filename}: {error.strerror}") from error


def _pairs(option: str, given: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadOption(f"{option} {text!r}: write NAME=VALUE")
        found[name] = value
    return found


class _Dumper(yaml.SafeDumper):
    """YAML as people write it: texts of several lines as they are, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
_STYLE: Mapping[str, Any] = {"sort_keys": False, "width": 100, "allow_unicode": True}
