"""Builds the images of this checkout and loads them into the cluster's nodes.

Nodes pull nothing: pods use the tag `dev` with imagePullPolicy IfNotPresent.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from . import docker
from .commands import MINUTE, ProvisionFailed, run, step
from .settings import REPOSITORY, Settings

OWN_IMAGE = re.compile(r"\btorpor(?:-test)?/[a-z0-9][a-z0-9._-]*:dev\b")


@dataclass(frozen=True)
class Image:
    """One Dockerfile of the checkout."""

    tag: str
    dockerfile: Path
    repository: Path

    def needs(self) -> set[str]:
        """The images of this checkout that it is built from, or copies from."""
        return {
            tag
            for word, arguments in self._instructions()
            if word in ("FROM", "ARG", "COPY")
            for tag in OWN_IMAGE.findall(arguments)
        }

    def context(self) -> Path:
        """Its folder when all that it copies lies there, else the repository."""
        folder = self.dockerfile.parent
        complete = all(any(folder.glob(source.lstrip("/"))) for source in self._copied())
        return folder if complete else self.repository

    def _copied(self) -> Iterator[str]:
        for word, arguments in self._instructions():
            if word in ("COPY", "ADD") and "--from=" not in arguments:
                paths = [path for path in arguments.split() if not path.startswith("--")]
                yield from (path for path in paths[:-1] if path.strip("./"))

    def _instructions(self) -> Iterator[tuple[str, str]]:
        for line in self.dockerfile.read_text().replace("\\\n", " ").splitlines():
            word, _, arguments = line.strip().partition(" ")
            yield word.upper(), arguments


def discover(repository: Path = REPOSITORY) -> dict[str, Image]:
    """Every Dockerfile under images/ and tests/images/, by the tag it gets."""
    folders = {"images": "torpor", "tests/images": "torpor-test"}
    images = [
        Image(f"{prefix}/{file.parent.name}:dev", file, repository)
        for folder, prefix in folders.items()
        for file in sorted(repository.glob(f"{folder}/*/Dockerfile"))
    ]
    return {image.tag: image for image in images}


def ordered(images: dict[str, Image]) -> list[Image]:
    """Each image after those that it needs."""
    needs = {tag: image.needs() & images.keys() for tag, image in images.items()}
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise ProvisionFailed(f"images are built from each other: {error.args[1]}") from None
    return [images[tag] for tag in order]


def build(images: list[Image]) -> None:
    for image in images:
        with step(f"build {image.tag}"):
            docker.build(image.tag, image.context(), image.dockerfile)


def load(settings: Settings, kind: Path, images: list[Image]) -> None:
    tags = [image.tag for image in images]
    with step(f"load {len(tags)} image(s) into {settings.name}"):
        target = ("load", "docker-image", "--name", settings.name)
        run(kind, *target, *tags, timeout=10 * MINUTE)
