"""The user's own objects: which do not get on, and are the images there that they need? Pure."""

from __future__ import annotations

from collections.abc import Iterator

from torpor.cli.doctor.facts import Facts, Json
from torpor.cli.doctor.finding import Finding, Grade
from torpor.cli.doctor.surroundings import runtimes
from torpor.cli.fnshow import key_of, troubles_of, truth
from torpor.cli.remedies import remedy
from torpor.resources.conditions import INVALID_WINDOW, READY, STALLED, find

FUNCTIONS, IMAGES, OTHERS = "functions", "images", "workflows and triggers"
_MOST_NAMED = 20
_DOCKER = "docker.io/"


def check_functions(facts: Facts) -> Iterator[Finding]:
    """Yield why each Function does not get on."""
    found = [(obj, it) for obj in facts.functions.items for it in troubles_of(obj)]
    for obj, trouble in found[:_MOST_NAMED]:
        key = key_of(obj)
        what = f"Function {key}: {trouble['reason']}: {trouble['message']}"
        command = remedy(trouble["reason"], key)
        yield Finding(Grade.PROBLEM, FUNCTIONS, what, _harm(obj, trouble), command)
    if len(found) > _MOST_NAMED:
        what = f"{len(found) - _MOST_NAMED} more problems of Functions"
        yield Finding(Grade.PROBLEM, FUNCTIONS, what, "as above", "torpor fn list -A -o wide")


def _harm(obj: Json, trouble: Json) -> str:
    """Return what comes of a Function's trouble."""
    if trouble["reason"] == INVALID_WINDOW:
        return "it serves, but this window never keeps an instance ready for its callers"
    if "job" in obj["spec"]:
        return "no run of it is started until somebody mends it"
    if trouble["type"] == STALLED and truth(obj, READY) == "True":
        return "it serves as it was before: its newest version does not start"
    return "its callers are answered 503 until somebody mends it"


def check_others(facts: Facts) -> Iterator[Finding]:
    """Yield each Workflow and Trigger that is not Ready, with its reason."""
    for kind, told in (("Workflow", facts.workflows), ("Trigger", facts.triggers)):
        for obj in told.items:
            ready = find((obj.get("status") or {}).get("conditions", ()), READY)
            if ready is None or ready["status"] != "False" or (obj["spec"].get("suspend")):
                continue
            key = key_of(obj)
            what = f"{kind} {key}: {ready['reason']}: {ready['message']}"
            why = "nothing is done for it until that is mended"
            command = f"torpor {kind.lower()} show {key}"
            yield Finding(Grade.PROBLEM, OTHERS, what, why, command)


def check_images(facts: Facts) -> Iterator[Finding]:
    """Yield each runtime whose image is on no node: its first cold start has to pull it."""
    if facts.nodes.value is None or not facts.nodes.items:
        return
    there = {_plain(name) for node in facts.nodes.items for name in _names(node)}
    used = {str(it["spec"].get("runtime")) for it in facts.functions.items}
    for runtime, image in sorted(runtimes(facts).items()):
        if _plain(image) in there or runtime not in used:
            continue
        what = f"the image of runtime {runtime} is on no node: {image}"
        why = "the next cold start pulls it, which takes seconds, or fails if nobody pushed it"
        command = f"docker manifest inspect {image} says whether there is one"
        yield Finding(Grade.ADVICE, IMAGES, what, why, command)


def _names(node: object) -> Iterator[str]:
    images = ((node.get("status") or {}).get("images") or ()) if isinstance(node, dict) else ()
    for image in images:
        yield from image.get("names") or ()


def _plain(name: str) -> str:
    return name.removeprefix(_DOCKER).removeprefix("library/")
