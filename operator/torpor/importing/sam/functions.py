"""A template's functions as Functions, apart from their code. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torpor.importing.sam.naming import Named, name_in
from torpor.importing.sam.notes import Notes
from torpor.importing.sam.template import BadTemplate, understood

Json = Mapping[str, Any]
_MEGABYTES_A_CPU = 1769
"""AWS Lambda Developer Guide, "Configure Lambda function memory": then it has one vCPU."""
_WITHOUT_EFFECT: Mapping[str, str] = {
    "Description": "a Function has none; annotate it",
    "Tags": "label the Function instead",
    "Role": "what it may do follows from the credentials in its environment",
    "Policies": "what it may do follows from the credentials in its environment",
    "PermissionsBoundary": "what it may do follows from the credentials in its environment",
    "Tracing": "every request is traced where the installation exports spans",
    "AutoPublishAlias": "there are no versions and aliases: the Function is what was applied last",
    "DeploymentPreference": "a changed Function is rolled out as a Deployment is",
    "FunctionUrlConfig": "every Function has an address of its own at the gateway",
    "LoggingConfig": "logs are those of the pods",
}
_DESTINATIONS = {"SQS": "queue", "SNS": "bus", "EventBridge": "bus", "Lambda": "function"}
_CONCURRENT = 100
_NO_SDK = "AWS's SDK is no part of it: pack it with the code"


@dataclass(frozen=True, slots=True)
class CodeAt:
    """Where a function's code is: a folder or file beside the template, a text, or elsewhere."""

    path: str | None = None
    inline: str | None = None
    elsewhere: str | None = None


@dataclass(slots=True)
class Draft:
    """A Function without its code. `handler` is what the template names."""

    id: str
    named: Named
    handler: str
    runtime: str
    code: CodeAt
    spec: dict[str, Any] = field(default_factory=dict)
    events: Json = field(default_factory=dict)

    @property
    def is_node(self) -> bool:
        """Whether it is JavaScript."""
        return self.runtime.startswith("nodejs")


class Functions:
    """Reads functions; `env` is added to the environment of each."""

    def __init__(self, env: Mapping[str, str], notes: Notes) -> None:
        self._env = env
        self._notes = notes
        self._readers: Mapping[str, Callable[[Draft, Any], None]] = {
            "MemorySize": self._memory,
            "Timeout": self._timeout,
            "Environment": self._environment,
            "ReservedConcurrentExecutions": self._reserved,
            "ProvisionedConcurrencyConfig": self._provisioned,
            "EventInvokeConfig": self._asynchronous,
            "DeadLetterQueue": self._dead_letters,
            "DeadLetterConfig": self._dead_letters,
            "Architectures": self._architectures,
            "Layers": self._layers,
        }

    def read(self, id: str, named: Named, properties: Json) -> Draft | None:
        """Return a function; None, with a note, where it cannot run here. BadTemplate."""
        rest = dict(properties)
        draft = self._draft(id, named, rest)
        if draft is None:
            return None
        draft.events = rest.pop("Events", None) or {}
        draft.spec["scaling"] = {
            "concurrency": {"target": 1, "limit": 1},
            "maxReplicas": _CONCURRENT,
        }
        rest.setdefault("Timeout", 3)
        rest.setdefault("Environment", {})
        for name, value in rest.items():
            place = f"{id}.{name}"
            if name in _WITHOUT_EFFECT:
                self._notes.differs(place, _WITHOUT_EFFECT[name])
            elif name in self._readers:
                self._do(name, draft, value)
            else:
                self._notes.left_out(place, "there is no such setting here")
        return draft

    def _do(self, name: str, draft: Draft, value: Any) -> None:
        with understood(f"{draft.id}.{name}"):
            self._readers[name](draft, value)

    def _draft(self, id: str, named: Named, rest: dict[str, Any]) -> Draft | None:
        rest.pop("FunctionName", None)
        if rest.pop("PackageType", "Zip") == "Image":
            rest.clear()
            self._notes.left_out(
                id,
                "an image for Lambda speaks Lambda's runtime API: Torpor runs images that "
                "serve HTTP on $PORT (spec.image), or the code itself",
            )
            return None
        runtime = self._runtime(id, str(rest.pop("Runtime", "")))
        code = _code(rest.pop("CodeUri", None) or rest.pop("Code", None), rest.pop("InlineCode", 0))
        handler = str(rest.pop("Handler", ""))
        if runtime is None:
            return None
        if "." not in handler:
            raise BadTemplate(f"{id}.Handler: {handler!r} must read file.function")
        return Draft(id, named, handler, runtime, code, {"payload": "lambda"})

    def _runtime(self, id: str, asked: str) -> str | None:
        if asked.startswith("nodejs"):
            own = {"nodejs20.x": "nodejs20", "nodejs22.x": "nodejs22"}.get(asked, "nodejs")
            if own == "nodejs":
                self._notes.differs(f"{id}.Runtime", f"{asked}: runs on Node.js 22; {_NO_SDK}")
            return own
        if asked.startswith("python3"):
            text = f"{asked}: runs on the Python of the installed runtime python3; {_NO_SDK}"
            self._notes.differs(f"{id}.Runtime", text)
            return "python3"
        self._notes.left_out(
            f"{id}.Runtime",
            f"{asked or 'none'}: runtimes are for Python and Node.js; make an "
            "image that serves HTTP on $PORT, and a Function with spec.image",
        )
        return None

    def _memory(self, draft: Draft, value: Any) -> None:
        megabytes = int(value)
        memory, cpu = f"{megabytes}Mi", f"{max(10, megabytes * 1000 // _MEGABYTES_A_CPU)}m"
        draft.spec["resources"] = {
            "requests": {"cpu": cpu, "memory": memory},
            "limits": {"memory": memory},
        }

    def _timeout(self, draft: Draft, value: Any) -> None:
        draft.spec["timeoutSeconds"] = int(value)

    def _environment(self, draft: Draft, value: Any) -> None:
        found = {**(value.get("Variables") or {}), **self._env}
        items = [{"name": str(name), "value": _text(text)} for name, text in found.items()]
        if items:
            draft.spec["env"] = items

    def _reserved(self, draft: Draft, value: Any) -> None:
        count = int(value)
        draft.spec["reservedConcurrency"] = count
        draft.spec["scaling"]["maxReplicas"] = max(1, min(5000, count))

    def _provisioned(self, draft: Draft, value: Any) -> None:
        count = int(value["ProvisionedConcurrentExecutions"])
        scaling = draft.spec["scaling"]
        scaling["minReplicas"] = count
        scaling["maxReplicas"] = max(count, scaling["maxReplicas"])

    def _asynchronous(self, draft: Draft, value: Any) -> None:
        found = draft.spec.setdefault("async", {})
        if "MaximumEventAgeInSeconds" in value:
            found["maxAgeSeconds"] = max(60, int(value["MaximumEventAgeInSeconds"]))
        if "MaximumRetryAttempts" in value:
            found["maxAttempts"] = int(value["MaximumRetryAttempts"]) + 1
        for name, facts in (value.get("DestinationConfig") or {}).items():
            kind, place = facts.get("Type"), f"{draft.id}.EventInvokeConfig.{name}"
            if kind not in _DESTINATIONS or "Destination" not in facts:
                self._notes.left_out(place, f"{kind}: name a Destination of SQS, SNS or Lambda")
                continue
            target = {_DESTINATIONS[kind]: {"name": name_in(str(facts["Destination"]))}}
            found[name[0].lower() + name[1:]] = target

    def _dead_letters(self, draft: Draft, value: Any) -> None:
        kind = "bus" if ":sns:" in str(value["TargetArn"]) else "queue"
        target = {kind: {"name": name_in(str(value["TargetArn"]))}}
        draft.spec.setdefault("async", {})["onFailure"] = target
        text = "gets Lambda's invocation record of a call that failed, its event within it"
        self._notes.differs(f"{draft.id}.DeadLetterQueue", text)

    def _architectures(self, draft: Draft, value: Any) -> None:
        arch = {"arm64": "arm64", "x86_64": "amd64"}[value[0]]
        draft.spec["nodeSelector"] = {"kubernetes.io/arch": arch}

    def _layers(self, draft: Draft, value: Any) -> None:
        for layer in value or ():
            text = f"{layer}: put what it holds beside the code"
            self._notes.left_out(f"{draft.id}.Layers", text)


def _code(given: Any, inline: Any) -> CodeAt:
    if isinstance(inline, str):
        return CodeAt(inline=inline)
    if isinstance(given, dict):
        if "ZipFile" in given:
            return CodeAt(inline=str(given["ZipFile"]))
        bucket = given.get("Bucket") or given.get("S3Bucket")
        return CodeAt(elsewhere=f"s3://{bucket}/{given.get('Key') or given.get('S3Key')}")
    if isinstance(given, str) and "://" in given:
        return CodeAt(elsewhere=given)
    return CodeAt(path=str(given or "."))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
