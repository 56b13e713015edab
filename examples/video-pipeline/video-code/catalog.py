"""Last of the Workflow: what was made, or why nothing was, becomes a row of the catalog."""

import json
from contextlib import suppress

import database

_SHOWN = ("name", "frames", "sizeBytes", "seconds", "cost")


async def handler(event, context):
    asked = event.json()
    video = asked["key"].rpartition("/")[2].partition(".")[0]
    variants, cost = made(asked.get("run") or {})
    problem = asked.get("problem")
    await database.put(
        video,
        asked["status"],
        asked.get("seconds"),
        json.dumps(variants),
        cost,
        said(problem) if problem else None,
        asked["execution"],
        event.headers.get("traceparent"),
    )
    return {"id": video, "status": asked["status"], "variants": [each["name"] for each in variants]}


def said(problem):
    """Return why nothing was made: of a function or a run the message, for all may read it."""
    cause = problem["Cause"]
    with suppress(ValueError, TypeError, LookupError):  # a sentence of Torpor's own is no JSON
        told = json.loads(cause)
        cause = told["errorMessage" if "errorMessage" in told else "message"]
    return f"{problem['Error']}: {cause}"[:1000]


def made(run):
    """Return the variants of a run and what they cost: one of its indexes tells of all."""
    results = run.get("result")
    found = results if isinstance(results, list) else [results]
    whole = next((each for each in found if each and each.get("variants")), None)
    if whole is None:
        return [], None
    largest_first = sorted(whole["variants"], key=lambda each: -each["sizeBytes"])
    variants = [{name: each[name] for name in _SHOWN} for each in largest_first]
    return variants, whole["cost"]["total"]["cost"]
