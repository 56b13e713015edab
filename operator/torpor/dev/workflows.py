"""The Workflows of a folder: their definitions found, and refused here as the engine would."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torpor.dev.manifests import BadFolder, Manifest
from torpor.errors import InvalidResource
from torpor.expressions.values import json_text
from torpor.resources.names import FunctionKey
from torpor.resources.workflow import Workflow
from torpor.workflows.admission import check_admission
from torpor.workflows.asl.problem import Problem
from torpor.workflows.machines import Wanted
from torpor.workflows.reconcile import options_of
from torpor.workflows.records import MachineType

Files = Mapping[tuple[str, str], Mapping[str, str]]
_NAME = re.compile(r"(?=.{1,52}$)[a-z]([-a-z0-9]*[a-z0-9])?")
_UID = "torpor-dev"
"""Stands for the uid of an object of a cluster: the machine belongs to a Workflow."""


@dataclass(frozen=True, slots=True)
class LocalWorkflow:
    """A Workflow of the folder, and the machine that it asks the engine for."""

    key: FunctionKey
    wanted: Wanted


def read_workflow(item: Manifest, maps: Files) -> LocalWorkflow:
    """Return a Workflow that the engine would take; BadFolder has a line for each problem."""
    named = f"{item.file}: Workflow {item.name[1]}: "
    try:
        workflow = Workflow.parse(item.body)
        _check_name(workflow.key.name)
        text = _definition(workflow, maps)
    except InvalidResource as error:
        raise BadFolder(f"{named}{error}") from error
    kind = MachineType(workflow.type.value.upper())
    wrong = check_admission(text, kind)
    if wrong:
        raise BadFolder("\n".join(f"{named}{_told(problem)}" for problem in wrong))
    return LocalWorkflow(workflow.key, Wanted(text, kind, options_of(replace(workflow, uid=_UID))))


def _check_name(name: str) -> None:
    """What the CRD's rules in CEL say of the name: it is a part of the machine's."""
    if not _NAME.fullmatch(name):
        text = f"{name!r}: at most 52 lower case letters, digits and '-', a letter first"
        raise InvalidResource("metadata.name", text)


def _definition(workflow: Workflow, maps: Files) -> str:
    source = workflow.definition_from
    if source is None:
        return json_text(workflow.definition)
    found = maps.get((workflow.key.namespace, source.name), {}).get(source.key)
    if found is None:
        text = f"no ConfigMap {source.name!r} with the key {source.key!r} in the folder"
        raise InvalidResource("spec.definitionFrom.configMapKeyRef", text)
    return found


def _told(problem: Problem) -> str:
    where = f"{problem.location}: " if problem.location else ""
    return f"{where}{problem.message} ({problem.code})"
