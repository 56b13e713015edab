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
SUITE = "trixie"


def ensure(settings: Settings) -> None:
    if any(docker.inputs(tag) == "" for tag in (DEBIAN, PYTHON)):
        note(f"{DEBIAN} or {PYTHON} was pulled from a registry: no stand-ins are made")
        return
    recipe = (PACKAGE / "debian.py", FILES / "python.Dockerfile", SUITE)
    key = fingerprint.of(*recipe, debian.reach())
    docker.ensure(settings, [PYTHON, DEBIAN], key, lambda: _build(settings, key))


def _build(settings: Settings, key: str) -> None:
    debian.import_image(settings, SUITE, DEBIAN, label=key)
    with TemporaryDirectory() as empty, step(f"build {PYTHON}"):
        docker.build(PYTHON, Path(empty), FILES / "python.Dockerfile", label=key)
