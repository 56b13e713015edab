"""Finds out whether ordinary images can be pulled, which spares building them."""

from . import node_image
from .commands import ProvisionFailed, note, run, step, succeeds
from .settings import Settings

# The default of the kind version in go/kind/go.mod.
NODE_IMAGE = "kindest/node:v1.34.0"
PATIENCE = 10.0


def pulled_node_image(settings: Settings) -> str | None:
    """kind's ordinary node image, if it can be had."""
    if not _answers(settings):
        return None
    try:
        with step(f"pull {NODE_IMAGE}"):
            run("docker", "pull", "--quiet", NODE_IMAGE)
    except ProvisionFailed as failure:  # the daemon may reach less than its client does
        note(str(failure))
        return None
    return NODE_IMAGE


def _answers(settings: Settings) -> bool:
    if settings.registry in ("yes", "no"):
        return settings.registry == "yes"
    if node_image.present(settings):  # the question was answered when that was built
        return False
    with step("ask an image registry"):
        answered = succeeds("docker", "manifest", "inspect", NODE_IMAGE, timeout=PATIENCE)
    if not answered:
        note("no image registry answers: images are built from packages and modules")
    return answered
