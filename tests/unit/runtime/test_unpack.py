"""What an archive may hold, and that nothing of it comes to be outside of its folder."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from torpor_runtime import unpack as unpacking
from torpor_runtime.unpack import ArchiveError, unpack

Entries = dict[str, bytes | str]
"""By name: what a file holds, or, as str, where a link leads; a name with / at its end: a folder"""


def tar_of(folder: Path, entries: Entries) -> Path:
    path = folder / "code.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            if name.endswith("/"):
                entry.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            else:
                entry.size, entry.mode = len(content), 0o755 if name.startswith("bin/") else 0o600
            archive.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def zip_of(folder: Path, entries: Entries) -> Path:
    path = folder / "code.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            mode = stat.S_IFLNK | 0o777 if isinstance(content, str) else stat.S_IFREG | 0o600
            mode |= 0o100 if name.startswith("bin/") else 0
            entry.external_attr = 0 if name.endswith("/") else mode << 16
            archive.writestr(entry, content)
    return path


Packs = Callable[[Path, Entries], Path]
both = pytest.mark.parametrize("packed", [tar_of, zip_of])


def unpacked(folder: Path, packed: Packs, entries: Entries) -> Path:
    (folder / "around").mkdir()
    target = folder / "around" / "code"
    unpack(str(packed(folder, entries)), str(target))
    return target


@both
def test_files_folders_and_links_inside_are_there(tmp_path: Path, packed: Packs) -> None:
    entries: Entries = {
        "./main.py": b"x = 1\n",
        "empty/": b"",
        "package/module.py": b"y",
        "bin/run": b"#!",
        "package/again.py": "../main.py",
        "all": "package",
    }
    code = unpacked(tmp_path, packed, entries)
    assert (code / "all" / "again.py").read_bytes() == b"x = 1\n"
    assert (code / "empty").is_dir()
    assert os.access(code / "bin" / "run", os.X_OK)
    assert stat.S_IMODE((code / "main.py").stat().st_mode) == 0o644


@both
@pytest.mark.parametrize(
    "entries",
    [
        {"../evil": b"x"},
        {"/evil": b"x"},
        {"a/../../evil": b"x"},
        {"a\\..\\evil": b"x"},
        {"out": "/"},
        {"out": "../.."},
        {"a/out": "../../evil"},
        {"out": "..", "out/evil": "x"},
        {"d": ".", "out": "d/d/../.."},
    ],
)
def test_what_leads_outside_refuses_the_archive(
    tmp_path: Path, packed: Packs, entries: Entries
) -> None:
    with pytest.raises(ArchiveError, match=r"outside|out of|make it relative"):
        unpacked(tmp_path, packed, entries)
    assert os.listdir(tmp_path / "around") == ["code"]


@both
def test_a_file_is_never_written_through_a_link(tmp_path: Path, packed: Packs) -> None:
    entries: Entries = {"d": "..", "d/evil": b"x"}
    with pytest.raises((ArchiveError, OSError)):
        unpacked(tmp_path, packed, entries)
    assert os.listdir(tmp_path / "around") == ["code"]


def test_devices_and_hard_links_refuse_the_archive(tmp_path: Path) -> None:
    for kind in (tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
            entry = tarfile.TarInfo("x")
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
        with pytest.raises(ArchiveError, match="no file, folder or symbolic link"):
            unpack(str(tmp_path / "bad.tar.gz"), str(tmp_path / kind.decode()))


@both
def test_what_grows_too_large_is_refused(
    tmp_path: Path, packed: Packs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "UNPACKED_BYTES", 1000)
    with pytest.raises(ArchiveError, match="larger than 1000 bytes"):
        unpacked(tmp_path, packed, {"a": b"x" * 600, "b": b"x" * 600})


@both
def test_too_many_files_are_refused(
    tmp_path: Path, packed: Packs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MOST_FILES", 2)
    with pytest.raises(ArchiveError, match="more than 2 files"):
        unpacked(tmp_path, packed, {"a": b"", "b": b"", "c": b""})


@both
def test_a_broken_archive_is_refused(tmp_path: Path, packed: Packs) -> None:
    whole = packed(tmp_path, {"a": os.urandom(100_000)})
    broken = tmp_path / "broken"
    broken.write_bytes(whole.read_bytes()[:50_000])
    with pytest.raises(ArchiveError, match="broken"):
        unpack(str(broken), str(tmp_path / "code"))


@pytest.mark.parametrize("content", [b"", b"BZh9", b"#!/bin/sh"])
def test_another_format_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ArchiveError, match=r"neither a \.zip nor a \.tar\.gz"):
        unpack(str(tmp_path / "file"), str(tmp_path / "code"))
