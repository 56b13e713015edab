"""A function's code: small text in a ConfigMap, all else in an archive that is written for it.

Where events must become what the template asked for, an adapter lies beside the code, and is the
handler; _HANDLER, as on Lambda, names the function's own.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from torpor.importing.sam.functions import Draft
from torpor.importing.sam.notes import Notes
from torpor.importing.sam.routes import Route
from torpor.importing.sam.template import BadTemplate

MOST_FILES = 20_000
MOST_BYTES = 256 << 20
_CONFIG_MAP_BYTES = 900_000
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_PASSED_OVER = frozenset({"__pycache__", ".git", ".aws-sam", ".pytest_cache"})
_NOWHERE = "https://archives.invalid"
_UNKNOWN = "0" * 64
ADAPTER = "torpor_sam"


@dataclass(frozen=True, slots=True)
class Code:
    """What the Function says of its code, the ConfigMap's files, and the archive, if any."""

    spec: Mapping[str, Any]
    files: Mapping[str, str] | None = None
    archive: bytes | None = None


def add_adapter(draft: Draft, routes: Sequence[Route], *, of_queue: bool) -> Mapping[str, bytes]:
    """Have the adapter be the Function's handler where it needs one; return its files."""
    if not routes and not of_queue:
        draft.spec["handler"] = draft.handler if draft.is_node else _with_slashes(draft.handler)
        return {}
    env = draft.spec.setdefault("env", [])
    env.append({"name": "_HANDLER", "value": draft.handler})
    if routes:
        told = [[route.method, route.path, route.form] for route in routes]
        env.append({"name": "SAM_ROUTES", "value": json.dumps(told)})
    draft.spec["handler"] = f"{ADAPTER}.handler"
    name = f"{ADAPTER}.mjs" if draft.is_node else f"{ADAPTER}.py"
    return {name: files("torpor.importing.sam.adapters").joinpath(name).read_bytes()}


def code_of(
    draft: Draft, folder: Path, extra: Mapping[str, bytes], archives_url: str, notes: Notes
) -> Code:
    """Return the code of a function whose template is in `folder`; BadTemplate."""
    place, at = f"{draft.id}.CodeUri", draft.code
    if at.elsewhere is not None:
        notes.left_out(
            place,
            f"{at.elsewhere}: pack that code, with {', '.join(extra) or 'nothing'} beside "
            "it, and give code.archive its url and sha256",
        )
        return Code({"archive": {"url": f"{_NOWHERE}/{draft.named.name}.zip", "sha256": _UNKNOWN}})
    found = {**_found(draft, folder, place, notes), **extra}
    texts = _texts(found)
    if texts is not None:
        return Code({"configMap": f"{draft.named.name}-code"}, files=texts)
    archive = _packed(found)
    name = f"{draft.named.name}.tar.gz"
    if not archives_url:
        notes.left_out(
            place,
            f"put archives/{name} where instances can fetch it, and say where: "
            "--archives https://… (with --out it is written)",
        )
    url = f"{archives_url or _NOWHERE}/{name}"
    sha256 = hashlib.sha256(archive).hexdigest()
    return Code({"archive": {"url": url, "sha256": sha256}}, archive=archive)


def _found(draft: Draft, folder: Path, place: str, notes: Notes) -> Mapping[str, bytes]:
    if draft.code.inline is not None:
        module = draft.handler.rpartition(".")[0]
        if ".." in module or module.startswith("/"):
            raise BadTemplate(f"{draft.id}.Handler: {draft.handler!r} is no file beside its code")
        return {module + (".js" if draft.is_node else ".py"): draft.code.inline.encode()}
    root = folder / (draft.code.path or ".")
    if root.is_file():
        raise BadTemplate(f"{place}: {root} is a file: unpack it into a folder of its name")
    if not root.is_dir():
        raise BadTemplate(f"{place}: there is no folder {root}")
    return _read(root, place, notes)


def _read(root: Path, place: str, notes: Notes) -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    size, links = 0, list[str]()
    for count, file in enumerate(_files(root)):
        if count >= MOST_FILES:
            raise BadTemplate(f"{place}: {root} has more than {MOST_FILES} files")
        if file.is_symlink():
            links.append("/".join(file.relative_to(root).parts))
        if file.is_symlink() or not file.is_file():
            continue
        size += file.stat().st_size
        if size > MOST_BYTES:
            raise BadTemplate(f"{place}: {root} has more than {MOST_BYTES >> 20} MiB")
        found["/".join(file.relative_to(root).parts)] = file.read_bytes()
    if links:
        text = f"{len(links)} symbolic links, such as {min(links)}: copy what they lead to"
        notes.left_out(place, text)
    return dict(sorted(found.items()))


def _files(root: Path) -> Iterator[Path]:
    """Yield files and links, one by one: how much there is, is not known before."""
    for at, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _PASSED_OVER]
        links = (name for name in folders if os.path.islink(os.path.join(at, name)))
        yield from (Path(at, name) for name in (*names, *links) if name not in _PASSED_OVER)


def _texts(found: Mapping[str, bytes]) -> Mapping[str, str] | None:
    """Return what a ConfigMap can hold; None if it is too much, or no text, or has folders."""
    fits = sum(map(len, found.values())) <= _CONFIG_MAP_BYTES
    if not fits or not all(map(_KEY.fullmatch, found)):
        return None
    try:
        return {name: content.decode() for name, content in found.items()}
    except UnicodeDecodeError:
        return None


def _packed(found: Mapping[str, bytes]) -> bytes:
    """Return a .tar.gz that is the same bytes for the same files."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name in sorted(found):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(found[name]), 0o644
            archive.addfile(entry, io.BytesIO(found[name]))
    return gzip.compress(raw.getvalue(), mtime=0)


def _with_slashes(handler: str) -> str:
    module, _, name = handler.rpartition(".")
    return f"{module.replace('.', '/')}.{name}"
