"""Builds the images of this checkout and loads them into the cluster's nodes.

Nodes pull nothing: pods use the tag `dev` with imagePullPolicy IfNotPresent.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from . import docker
from .commands import MINUTE, ProvisionFailed, note, run, step
from .settings import REPOSITORY, Settings

VERSITYGW = "torpor-test/versitygw:dev"
OWN_IMAGE = re.compile(r"\btorpor(?:-test)?/[a-z0-9][a-z0-9._-]*:dev\b")


@dataclass(frozen=True)
class Image:
    """One Dockerfile of the checkout."""

    tag: str
    dockerfile: Path
    repository: Path
    built: Path | None = None
    """The folder with what is built elsewhere and copied in."""

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
        folder = self.built or self.dockerfile.parent
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
    """Every Dockerfile under images/, tests/images/ and examples/*/image/, by the tag it gets."""
    folders = {"images": "torpor", "tests/images": "torpor-test"}
    images = [
        Image(f"{prefix}/{file.parent.name}:dev", file, repository)
        for folder, prefix in folders.items()
        for file in sorted(repository.glob(f"{folder}/*/Dockerfile"))
    ]
    images += [
        Image(f"torpor/{file.parents[1].name}:dev", file, repository)
        for file in sorted(repository.glob("examples/*/image/Dockerfile"))
    ]
    return {image.tag: image for image in images}


def with_programs(images: dict[str, Image]) -> dict[str, Image]:
    """The images that can be built here, with the programs that are not built in an image."""
    if VERSITYGW not in images:
        return images
    from tests.support.servers import versitygw

    if not versitygw.available() and shutil.which("go") is None:
        note(f"no Go to build {VERSITYGW} with: the video pipeline has no store on this cluster")
        return {tag: image for tag, image in images.items() if tag != VERSITYGW}
    versitygw.install()
    return {**images, VERSITYGW: replace(images[VERSITYGW], built=versitygw.program().parent)}


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
