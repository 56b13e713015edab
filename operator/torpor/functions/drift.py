"""Whether a child is still as it was made: who owns it, and whether somebody changed it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from torpor.functions.digest import digest
from torpor.resources.names import ANNOTATION_DESIRED, LABEL_MANAGED_BY, MANAGED_BY

Json = Mapping[str, Any]


class Ownership(Enum):
    """Whose an object is, seen from one Function."""

    OURS = "ours"
    ORPHAN = "made by Torpor, without an owner"
    LEAVING = "on its way out, or of a Function of the same name that is"
    FOREIGN = "somebody else's"


def ownership(live: Json, owner: Json) -> Ownership:
    """Return whose `live` is, `owner` being the ownerReference that it ought to have."""
    meta = live["metadata"]
    controller = next((it for it in meta.get("ownerReferences", ()) if it.get("controller")), None)
    if controller is None:
        made_by = meta.get("labels", {}).get(LABEL_MANAGED_BY)
        return Ownership.ORPHAN if made_by == MANAGED_BY else Ownership.FOREIGN
    if controller["uid"] == owner["uid"]:
        return Ownership.LEAVING if meta.get("deletionTimestamp") else Ownership.OURS
    same = all(controller.get(name) == owner[name] for name in ("kind", "name"))
    return Ownership.LEAVING if same else Ownership.FOREIGN


def applied_hash(live: Json) -> str | None:
    """Return the hash of what was last applied to `live`."""
    found = live["metadata"].get("annotations", {}).get(ANNOTATION_DESIRED)
    return found if isinstance(found, str) else None


def fingerprint(live: Json) -> str:
    """Return a hash of what people could change in `live`; replicas are left out."""
    spec = {name: value for name, value in live.get("spec", {}).items() if name != "replicas"}
    meta = live["metadata"]
    return digest([spec, meta.get("labels"), meta.get("ownerReferences")])


def covers(live: Any, wanted: Any) -> bool:
    """Return whether everything in `wanted` is in `live`, which may have defaults besides.

    False also where the API server writes a value in another form, such as a quantity.
    """
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            name in live and covers(live[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(covers(one, other) for one, other in zip(live, wanted, strict=True))
        )
    return bool(live == wanted)
