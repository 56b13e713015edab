"""Wrong objects are refused by the API server itself, with words that say what to write instead."""

from __future__ import annotations

import pytest

from tests.cluster.api import Refused
from tests.cluster.harness import Lab
from tests.support.wrong_objects import WRONG, Wrong
from torpor.platform.kubernetes.resources import FUNCTIONS, TRIGGERS, WORKFLOWS

RESOURCES = {item.kind: item for item in (FUNCTIONS, TRIGGERS, WORKFLOWS)}
STRICT = "fieldValidation=Strict"


async def test_the_api_server_says_what_is_wrong(lab: Lab) -> None:
    told = [(wrong, await answer(lab, wrong)) for wrong in WRONG if not wrong.was]
    for wrong, text in told:
        print(f"{wrong.kind}: {text}")
    assert [(str(wrong), text) for wrong, text in told if wrong.said not in text] == []


@pytest.mark.parametrize("wrong", [item for item in WRONG if item.was], ids=str)
async def test_a_change_that_cannot_be_made_is_refused(lab: Lab, wrong: Wrong) -> None:
    path = RESOURCES[wrong.kind].path(lab.namespace)
    # Nothing is to run for it, so the API server keeps it only until the next line.
    await lab.api.text("POST", f"{path}?{STRICT}", wrong.manifest(wrong.was))
    version = (await lab.api.get(f"{path}/{wrong.name}"))["metadata"]["resourceVersion"]
    changed = wrong.manifest(wrong.spec)
    changed["metadata"]["resourceVersion"] = version
    with pytest.raises(Refused, match=wrong.said):
        await lab.api.text("PUT", f"{path}/{wrong.name}?{STRICT}&dryRun=All", changed)
    await lab.api.delete(f"{path}/{wrong.name}")


async def answer(lab: Lab, wrong: Wrong) -> str:
    """Return what the API server says to the object; nothing if it would take it."""
    path = RESOURCES[wrong.kind].path(lab.namespace)
    try:
        await lab.api.text("POST", f"{path}?{STRICT}&dryRun=All", wrong.manifest(wrong.spec))
    except Refused as refused:
        return str(refused).replace('\\"', '"')
    return ""
