"""Stand-ins for the public base images, under their public names.

A Dockerfile that says `FROM python:3.13-slim` then builds unchanged where no registry is reached:
the builder takes the image of that name that it has.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from . import debian, docker, fingerprint
from .commands import note, step
from .settings import FILES, PACKAGE, Settings

DEBIAN = "debian:trixie-slim"
PYTHON = "python:3.13-slim"
NODE = "node:22-slim"
SUITE = "trixie"
BUILT = {PYTHON: FILES / "python.Dockerfile", NODE: FILES / "node-js.Dockerfile"}
"""The stand-ins that are built on Debian's, by their tags."""


def ensure(settings: Settings) -> None:
    if any(docker.inputs(tag) == "" for tag in (DEBIAN, PYTHON, NODE)):
        note(f"{DEBIAN}, {PYTHON} or {NODE} was pulled from a registry: no stand-ins are made")
        return
    key = fingerprint.of(PACKAGE / "debian.py", *BUILT.values(), SUITE, debian.reach())
    docker.ensure(settings, [*BUILT, DEBIAN], key, lambda: _build(settings, key))


def _build(settings: Settings, key: str) -> None:
    debian.import_image(settings, SUITE, DEBIAN, label=key)
    for tag, dockerfile in BUILT.items():
        with TemporaryDirectory() as empty, step(f"build {tag}"):
            docker.build(tag, Path(empty), dockerfile, label=key)
