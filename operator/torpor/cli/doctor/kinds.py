"""Are the kinds in the cluster, and are they those of this program? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torpor.cli.doctor.facts import Facts
from torpor.cli.doctor.finding import Finding, Grade

CHECK = "kinds"
_INSTALL = "helm upgrade --install torpor-crds charts/torpor-crds --namespace {namespace}"
_MOST_NAMED = 3


def check(facts: Facts) -> Iterator[Finding]:
    """Yield a finding for each kind that is missing, or that is not this program's."""
    command = _INSTALL.format(namespace=facts.namespace)
    for kind, told in facts.kinds.items():
        if told.missing:
            why = f"without it no {kind} can be made, and the roles wait for it"
            yield Finding(Grade.PROBLEM, CHECK, f"the kind {kind} is missing", why, command)
        elif told.value is None:
            what = f"whether the kind {kind} is this program's cannot be seen: {told.problem}"
            why = "fields that the cluster does not know are refused or dropped"
            yield Finding(Grade.UNKNOWN, CHECK, what, why, "ask somebody who may read CRDs")
        else:
            yield from _compared(kind, told.value, facts, command)


def _compared(kind: str, live: Mapping[str, Any], facts: Facts, command: str) -> Iterator[Finding]:
    ours, theirs = _schema(facts.wanted[kind]), _schema(live)
    lacking = sorted(differences(ours, theirs))
    if lacking:
        what = f"the kind {kind} of the cluster is older or another: {_some(lacking)}"
        why = "what it does not know is refused or dropped when it is applied"
        yield Finding(Grade.PROBLEM, CHECK, what, why, command)
        return
    more = sorted(differences(theirs, ours))
    if more:
        what = f"the kind {kind} of the cluster is newer than this program: {_some(more)}"
        why = f"torpor {facts.program} does not know of it, and shows and checks less"
        yield Finding(Grade.ADVICE, CHECK, what, why, "pip install --upgrade torpor")


def _schema(crd: Mapping[str, Any]) -> Mapping[str, Any]:
    versions = crd["spec"]["versions"]
    stored = next((it for it in versions if it.get("storage")), versions[0])
    schema: Mapping[str, Any] = stored["schema"]["openAPIV3Schema"]
    return schema


def differences(wanted: Any, live: Any, path: str = "") -> Iterator[str]:
    """Yield the fields of a schema that the other has not, or has otherwise; words do not count."""
    if not isinstance(wanted, Mapping) or not isinstance(live, Mapping):
        if wanted != live:
            yield path
        return
    if "properties" in wanted or "items" in wanted:
        yield from _of_object(wanted, live, path)
        return
    if _told(wanted) != _told(live):
        yield path


def _of_object(wanted: Mapping[str, Any], live: Mapping[str, Any], path: str) -> Iterator[str]:
    theirs = live.get("properties") or {}
    for name, field in (wanted.get("properties") or {}).items():
        here = f"{path}.{name}" if path else name
        if name in theirs:
            yield from differences(field, theirs[name], here)
        else:
            yield here
    if "items" in wanted:
        yield from differences(wanted["items"], live.get("items"), f"{path}[]")
    if _told(wanted) != _told(live):
        yield path


def _told(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a schema asks of a value, without words for people and what is inside."""
    left_out = ("description", "properties", "items")
    return {name: value for name, value in schema.items() if name not in left_out}


def _some(paths: list[str]) -> str:
    shown = ", ".join(path or "the whole" for path in paths[:_MOST_NAMED])
    more = len(paths) - _MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
