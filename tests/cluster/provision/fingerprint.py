"""Keys that name the inputs of a build, so that nothing is built twice and nothing stale is used.

Contents count, timestamps do not: a fresh clone finds what an older one built.
"""

import hashlib
from pathlib import Path


def of(*inputs: str | Path) -> str:
    """The key of texts, files and whole folders."""
    digest = hashlib.sha256()
    for given in inputs:
        for label, content in _pieces(given):
            digest.update(f"{label}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()[:16]


def _pieces(given: str | Path) -> list[tuple[str, bytes]]:
    if isinstance(given, str):
        return [("", given.encode())]
    if given.is_file():
        return [(given.name, given.read_bytes())]
    files = sorted(path for path in given.rglob("*") if path.is_file())
    return [(str(path.relative_to(given)), path.read_bytes()) for path in files]
