"""Docker images that are built once: found by the key of their inputs, kept as archives too."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from .commands import MINUTE, note, run, step, succeeds
from .settings import Settings

# Tells the images of this tool from those of the same name that somebody pulled.
INPUTS = "test.torpor/inputs"


@cache
def builder() -> Mapping[str, str]:
    """What `docker build` needs in its environment: without buildx there is no BuildKit."""
    if succeeds("docker", "buildx", "version"):
        return {}
    return {"DOCKER_BUILDKIT": "0"}


def build(tag: str, context: Path, dockerfile: Path, *, label: str = "") -> None:
    """Builds on the host's network, which is the one that surely reaches the registries."""
    labels = ["--label", f"{INPUTS}={label}"] if label else []
    run(
        *("docker", "build", "--quiet", "--network", "host", "--tag", tag, *labels),
        *("--file", dockerfile, context),
        environ=builder(),
        timeout=30 * MINUTE,
    )


def inputs(tag: str) -> str | None:
    """The key an image was built with, empty for an image of another origin, None for no image."""
    if not exists(tag):
        return None
    form = f'{{{{ index .Config.Labels "{INPUTS}" }}}}'
    return run("docker", "image", "inspect", "--format", form, tag).replace("<no value>", "")


def exists(tag: str) -> bool:
    return succeeds("docker", "image", "inspect", tag)


def forget(*tags: str) -> None:
    """Removes names; what other images share stays."""
    present = [tag for tag in tags if exists(tag)]
    if present:
        run("docker", "image", "rm", "--force", *present)


def archive(settings: Settings, tag: str, key: str) -> Path:
    name = tag.split("/")[-1].split(":")[0]
    return settings.archives / f"{name}-{key}.tar"


def _identity(tag: str) -> str:
    return run("docker", "image", "inspect", "--format", "{{.Id}}", tag)


def ensure(
    settings: Settings, tags: Sequence[str], key: str, build_images: Callable[[], None]
) -> None:
    """Has the images of this key: they are there already, or in an archive, or they are built."""
    if all(inputs(tag) == key for tag in tags):
        return
    kept = archive(settings, tags[0], key)
    if kept.exists():
        with step(f"load {kept.name}"):
            run("docker", "load", "--input", kept)
        return
    replaced = {_identity(tag) for tag in tags if exists(tag)}
    build_images()
    for image in replaced:  # nameless now; one that a cluster runs on stays
        succeeds("docker", "image", "rm", image)
    _save(kept, tags)


def _save(kept: Path, tags: Sequence[str]) -> None:
    with step(f"keep {kept.name}"):
        draft = kept.with_suffix(".draft")
        run("docker", "save", "--output", draft, *tags)
        draft.replace(kept)
    name = kept.stem.rsplit("-", 1)[0]
    for outdated in kept.parent.glob(f"{name}-*.tar"):
        if outdated != kept:
            outdated.unlink()
            note(f"removed {outdated.name}, whose inputs have changed")
