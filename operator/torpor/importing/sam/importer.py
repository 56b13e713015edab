"""Imports a whole template: its resources in their order, and what is told of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torpor.importing.sam.code import add_adapter, code_of
from torpor.importing.sam.events import Target, Triggers, entries
from torpor.importing.sam.functions import Draft, Functions
from torpor.importing.sam.intrinsics import Resolver
from torpor.importing.sam.naming import NAME_PROPERTIES, name_in, named
from torpor.importing.sam.notes import Note, Notes
from torpor.importing.sam.telling import QUEUE, tell
from torpor.importing.sam.template import MOST_BYTES, BadTemplate, check_unfolded, parse, understood
from torpor.resources.names import API_VERSION

Json = Mapping[str, Any]
FUNCTIONS = ("AWS::Serverless::Function", "AWS::Lambda::Function")
MACHINES = ("AWS::Serverless::StateMachine", "AWS::StepFunctions::StateMachine")
_SECTIONS = {
    "Outputs": "nothing here is exported: `kubectl get functions,triggers` shows what there is",
    "Rules": "parameters are taken without them",
    "Hooks": "there are no hooks here",
}
_BOUND = ("AWS::Lambda::EventSourceMapping", "AWS::Events::Rule")
_MACHINE_DIFFERS = ("Role", "Policies", "Tags", "Logging", "Tracing", "Name", "StateMachineName")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of an import. `events_url` is where Functions reach the events API."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    events_url: str = "http://torpor-events.torpor-system:8200"
    archives_url: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Imported:
    """The objects in the order in which they are to be applied, archives by name, and notes."""

    objects: Sequence[Json]
    archives: Mapping[str, bytes]
    notes: Sequence[Note]


def import_sam(text: str, folder: Path, wanted: Wanted) -> Imported:
    """Return what a template's text becomes; its paths begin in `folder`. BadTemplate, OSError."""
    template, notes = parse(text), Notes()
    return _Import(template, folder, wanted, notes).done()


class _Import:
    def __init__(self, template: Json, folder: Path, wanted: Wanted, notes: Notes) -> None:
        self._folder = folder
        self._wanted = wanted
        self._notes = notes
        resources = template["Resources"]
        self._names = {
            id: named(id, str(it["Type"]), None, wanted.namespace) for id, it in resources.items()
        }
        self._resolver = Resolver(
            template, wanted.parameters, self._names, wanted.events_url, notes
        )
        self._name(resources)
        self._globals = template.get("Globals") or {}
        for section in template.keys() & _SECTIONS.keys():
            notes.left_out(section, _SECTIONS[section])
        self._resources = dict(self._resolved(resources))
        self._check_names()
        queues = {
            self._names[id].name: it["Properties"]
            for id, it in self._resources.items()
            if it["Type"] == QUEUE
        }
        self._triggers = Triggers(wanted.namespace, queues, notes)
        self._functions = Functions(self._environment(), notes)

    def done(self) -> Imported:
        """Return all of it."""
        for id, resource in self._resources.items():
            if resource["Type"] not in (*FUNCTIONS, *MACHINES, *_BOUND):
                with understood(id):
                    tell(id, resource["Type"], resource["Properties"], self._notes)
        drafts = [draft for id in self._of(FUNCTIONS) if (draft := self._draft(id))]
        for draft in drafts:
            for name, event in entries(draft.events, draft.id).items():
                self._triggers.add(Target("function", draft.named.name, draft.id), name, event)
        self._mappings(drafts)
        machines = [self._machine(id) for id in self._of(MACHINES)]
        self._rules(drafts)
        objects: list[Json] = []
        archives: dict[str, bytes] = {}
        for draft in drafts:
            objects += self._built(draft, archives)
        objects += [it for it in machines if it]
        for draft in drafts:
            self._triggers.http(draft.named.name)
        return Imported([*objects, *self._triggers.made], archives, list(self._notes))

    def _resolved(self, resources: Json) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the resources whose condition holds, with their globals and all functions done."""
        for id, resource in resources.items():
            condition = resource.get("Condition")
            if condition and not self._resolver.holds(str(condition)):
                continue
            section = str(resource["Type"]).removeprefix("AWS::Serverless::")
            usual = self._globals.get(section) or {} if "Serverless" in resource["Type"] else {}
            given = _merged(usual, resource.get("Properties") or {})
            properties = self._resolver.value(given, id)
            if not isinstance(properties, dict):
                raise BadTemplate(f"Resources.{id}.Properties: must be an object")
            yield id, {"Type": resource["Type"], "Properties": properties}

    def _name(self, resources: Json) -> None:
        """Call the resources what the template calls them, which may depend on parameters."""
        for id, resource in resources.items():
            type_ = str(resource["Type"])
            given = (resource.get("Properties") or {}).get(NAME_PROPERTIES.get(type_, ""))
            if given is not None:
                text = self._resolver.value(given, id)
                self._names[id] = named(id, type_, text, self._wanted.namespace)

    def _check_names(self) -> None:
        """Refuse resources that have come to the same name."""
        seen: dict[tuple[str, str], str] = {}
        for id, resource in self._resources.items():
            place = (resource["Type"], self._names[id].name)
            if seen.setdefault(place, id) != id:
                raise BadTemplate(f"{id} and {seen[place]} have the same name {place[1]}")

    def _environment(self) -> dict[str, str]:
        """Return what tells AWS's clients where the queues and buses are."""
        types = {it["Type"] for it in self._resources.values()}
        found = {}
        if QUEUE in types:
            found["AWS_ENDPOINT_URL_SQS"] = self._wanted.events_url
        if "AWS::Events::EventBus" in types:
            found["AWS_ENDPOINT_URL_EVENTS"] = self._wanted.events_url
        if found:
            found |= {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
        return {**found, **self._wanted.env}

    def _of(self, types: Sequence[str]) -> list[str]:
        return [id for id, it in self._resources.items() if it["Type"] in types]

    def _draft(self, id: str) -> Draft | None:
        return self._functions.read(id, self._names[id], self._resources[id]["Properties"])

    def _built(self, draft: Draft, archives: dict[str, bytes]) -> Iterator[Json]:
        name = draft.named.name
        routes = self._triggers.routes.by_function.get(name, ())
        extra = add_adapter(draft, routes, of_queue=self._reads_queue(name))
        code = code_of(draft, self._folder, extra, self._wanted.archives_url, self._notes)
        if code.archive is not None:
            archives[f"{name}.tar.gz"] = code.archive
        if code.files is not None:
            meta = self._metadata(f"{name}-code")
            yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": code.files}
        spec = {"runtime": draft.runtime, "code": code.spec, **draft.spec}
        yield self._object("Function", name, spec)

    def _reads_queue(self, function: str) -> bool:
        return any(
            "queue" in made["spec"]["source"]
            and made["spec"]["target"].get("function", {}).get("name") == function
            for made in self._triggers.made
        )

    def _machine(self, id: str) -> Json | None:
        name, rest = self._names[id].name, dict(self._resources[id]["Properties"])
        with understood(f"{id}.Definition"):
            definition = self._definition(id, rest)
        for told in _MACHINE_DIFFERS:
            if rest.pop(told, None) is not None and not told.endswith("Name"):
                self._notes.differs(f"{id}.{told}", "a Workflow has none; see its own fields")
        express = rest.pop("Type", rest.pop("StateMachineType", "STANDARD")) == "EXPRESS"
        for event, facts in entries(rest.pop("Events", None), id).items():
            self._triggers.add(Target("workflow", name, id), event, facts)
        for left in rest:
            self._notes.left_out(f"{id}.{left}", "a Workflow has no such field")
        if definition is None:
            return None
        spec: dict[str, Any] = {"definition": definition}
        return self._object("Workflow", name, spec | ({"type": "Express"} if express else {}))

    def _definition(self, id: str, rest: dict[str, Any]) -> Any:
        puts = rest.pop("DefinitionSubstitutions", None) or {}
        given = rest.pop("Definition", None)
        uri, text = rest.pop("DefinitionUri", None), rest.pop("DefinitionString", None)
        if isinstance(uri, str) and "://" not in uri:
            text = _text_of(self._folder / uri, f"{id}.DefinitionUri")
        if given is None and text is None:
            self._notes.left_out(f"{id}.DefinitionUri", "its definition is not in this folder")
            return None
        whole = json.dumps(given) if given is not None else str(text)
        if not isinstance(puts, Mapping):
            raise BadTemplate(f"{id}.DefinitionSubstitutions: must be an object")
        for name, value in puts.items():
            whole = whole.replace(f"${{{name}}}", str(value))
        try:
            return json.loads(whole)
        except ValueError:
            return parse_definition(whole, f"{id}.DefinitionUri")

    def _mappings(self, drafts: Sequence[Draft]) -> None:
        """Make Triggers of AWS::Lambda::EventSourceMapping."""
        known = {draft.named.name: draft for draft in drafts}
        for id in self._of(("AWS::Lambda::EventSourceMapping",)):
            rest = dict(self._resources[id]["Properties"])
            arn = str(rest.pop("EventSourceArn", ""))
            draft = known.get(name_in(str(rest.pop("FunctionName", ""))))
            if ":sqs:" not in arn or draft is None:
                self._notes.left_out(id, f"{arn}: only a queue of SQS can be read so")
                continue
            target = Target("function", draft.named.name, id)
            self._triggers.add(target, id, {"Type": "SQS", "Properties": {**rest, "Queue": arn}})

    def _rules(self, drafts: Sequence[Draft]) -> None:
        """Make Triggers of AWS::Events::Rule, one for each target."""
        functions = {draft.named.name for draft in drafts}
        for id in self._of(("AWS::Events::Rule",)):
            rest = dict(self._resources[id]["Properties"])
            for told in ("Name", "Description"):
                rest.pop(told, None)
            for number, item in enumerate(_targets(rest.pop("Targets", None), id), start=1):
                item = dict(item)
                arn = str(item.pop("Arn", ""))
                item.pop("Id", None)
                item.pop("RoleArn", None)
                kind = "workflow" if ":states:" in arn else "function"
                if kind == "function" and name_in(arn) not in functions:
                    self._notes.left_out(id, f"{arn}: is no function of this template")
                    continue
                scheduled = "ScheduleExpression" in rest
                facts = {"Type": "Schedule" if scheduled else "EventBridgeRule"}
                name = f"{id}{number if number > 1 else ''}"
                target = Target(kind, name_in(arn), id)
                self._triggers.add(target, name, {**facts, "Properties": {**rest, **item}})

    def _object(self, kind: str, name: str, spec: Json) -> Json:
        meta = self._metadata(name)
        return {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": spec}

    def _metadata(self, name: str) -> dict[str, str]:
        namespace = self._wanted.namespace
        return {"name": name, **({"namespace": namespace} if namespace else {})}


def _targets(given: Any, id: str) -> Sequence[Json]:
    found = given or []
    if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
        raise BadTemplate(f"{id}.Targets: must be a list of objects")
    return found


def parse_definition(text: str, place: str) -> Any:
    """Return a definition that is YAML; BadTemplate."""
    import yaml

    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise BadTemplate(f"{place}: neither JSON nor YAML: {error}") from error
    check_unfolded(found)
    return found


def _text_of(file: Path, place: str) -> str:
    with file.open("rb") as opened:
        content = opened.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise BadTemplate(f"{place}: {file} is larger than {MOST_BYTES >> 20} MiB")
    return content.decode()


def _merged(usual: Any, own: Any) -> Any:
    """Return own properties over those of Globals: objects join, lists are one after the other.

    Source: AWS SAM Developer Guide, "Globals section", overridable properties.
    """
    if isinstance(usual, dict) and isinstance(own, dict):
        both = usual.keys() & own.keys()
        return {**usual, **own, **{name: _merged(usual[name], own[name]) for name in both}}
    if isinstance(usual, list) and isinstance(own, list):
        return [*usual, *own]
    return own
