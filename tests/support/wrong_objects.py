"""Objects that must be refused, each with what the API server has to say about it.

`said` is a part of its message: where a rule of ours refuses, the part that says what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torpor.resources.names import API_VERSION

Spec = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wrong:
    """An object of one of Torpor's kinds that is refused, and what is said of it."""

    kind: str
    spec: Spec
    said: str
    name: str = "x"
    was: Spec = field(default_factory=dict)
    """Where a change is refused: what it was before."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.said}"

    def manifest(self, spec: Spec) -> dict[str, Any]:
        """Return the object with this spec."""
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "metadata": {"name": self.name},
            "spec": spec,
        }


IMAGE: Spec = {"image": "x:1"}
RUNTIME: Spec = {"runtime": "python3", "handler": "main.handler", "code": {"inline": "x"}}
DEFINITION: Spec = {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}
BUS: Spec = {"source": {"bus": {"name": "orders"}}, "target": {"function": {"name": "f"}}}


def image(said: str, name: str = "x", **spec: Any) -> Wrong:
    """A Function of an image with a wrong field."""
    return Wrong("Function", {**IMAGE, **spec}, said, name)


def runtime(said: str, **spec: Any) -> Wrong:
    """A Function of a runtime with a wrong field."""
    return Wrong("Function", {**RUNTIME, **spec}, said)


def run(said: str, **spec: Any) -> Wrong:
    """A Job Function of an image with a wrong field."""
    return image(said, workload="Job", **spec)


def job(said: str, **spec: Any) -> Wrong:
    """A Job Function with a wrong field of job."""
    return run(said, job=spec)


def without(field_name: str, said: str) -> Wrong:
    """A Function of a runtime that lacks a field."""
    spec = {name: value for name, value in RUNTIME.items() if name != field_name}
    return Wrong("Function", spec, said)


def volume(said: str, **fields: Any) -> Wrong:
    """A Function with a wrong volume."""
    return image(said, volumes=[{"name": "a", "mountPath": "/a", **fields}])


def scaling(said: str, **spec: Any) -> Wrong:
    """A Function with a wrong field of scaling."""
    return image(said, scaling=spec)


FUNCTIONS = (
    Wrong("Function", {}, "give exactly one of image"),
    runtime("give exactly one of image", image="x:1"),
    without("code", "a runtime needs code: give code.configMap"),
    without("handler", "write module.function, such as main.handler"),
    image("metadata.name may have at most 52 characters", name="a" * 53),
    image("lower case letters, digits and '-', a letter first", name="1a"),
    image("lower case letters, digits and '-', a letter first", name="a.b"),
    image("an image brings its own code, so remove code", code={"inline": "x"}),
    image("an image answers HTTP itself, so remove handler", handler="main.handler"),
    runtime("a runtime starts its own server, so remove them", command=["x"]),
    runtime("a runtime starts its own server, so remove them", args=["x"]),
    runtime("protocol h2c goes with image", protocol="h2c"),
    image("so remove payload", payload="lambda"),
    Wrong(
        "Function",
        {**IMAGE, "async": {"onFailure": {"bus": {"name": "b"}, "queue": {"name": "q"}}}},
        "give exactly one of function, workflow, bus, queue",
    ),
    runtime("a runtime tells itself when it is ready", livenessProbe={"tcpSocket": {}}),
    image(
        "remove it from resources.limits",
        gpu={},
        resources={"limits": {"nvidia.com/gpu": 1}},
    ),
    image("Service (answers requests) or Job (each call is a run", workload="Batch"),
    image("write workload: Job or remove job", job={}),
    Wrong(
        "Function",
        {**IMAGE, "workload": "Job"},
        "workload cannot change",
        was=IMAGE,
    ),
    run("port and protocol go with Service", port=9000),
    run("port and protocol go with Service", protocol="h2c"),
    run("a run ends by itself, so remove them", livenessProbe={"tcpSocket": {}}),
    run("write job.gpu", gpu={}),
    run("write job.timeoutSeconds", timeoutSeconds=60),
    run("reservedConcurrency limits how many runs", scaling={"minReplicas": 1}),
    run("reservedConcurrency limits how many runs", scaling={"requestsPerSecond": 5}),
    run("ask its Location", **{"async": {"onFailure": {"queue": {"name": "q"}}}}),
    runtime("runs have no runtime nodejs", workload="Job", runtime="nodejs"),
    job("raise completions or lower parallelism", parallelism=2),
    job("spec.job.completions", completions=0),
    job("spec.job.timeoutSeconds", timeoutSeconds=0),
    job("spec.job.retries.perIndex", retries={"perIndex": -1}),
    job("spec.job.ttlSeconds", ttlSeconds=1),
    job("give job.checkpoint exactly one of store", checkpoint={}),
    job("checkpoint.store must read s3://bucket/prefix", checkpoint={"store": "http://x/y"}),
    job("add the volume there", checkpoint={"volume": "work"}),
    job("spec.job.spot.graceSeconds", spot={"graceSeconds": 0}),
    job("spec.job.gpu.fallback", gpu={"fallback": "tpu"}),
    job("spec.job.gpu.mig", gpu={"mig": "half"}),
    job("spec.job.queue", queue="A Queue"),
    run(
        "remove it from resources.limits",
        job={"gpu": {"mig": "1g.10gb"}},
        resources={"limits": {"nvidia.com/mig-1g.10gb": 1}},
    ),
    Wrong(
        "Function",
        {**IMAGE, "protocol": "h2c"},
        "protocol cannot change while instances run",
        was=IMAGE,
    ),
    runtime("give exactly one of code.configMap", code={}),
    runtime("give exactly one of code.configMap", code={"inline": "x", "configMap": "y"}),
    runtime(
        "archive.url must read https://host/path",
        code={"archive": {"url": "ftp://host/code.zip", "sha256": "a" * 64}},
    ),
    runtime(
        "sign the URL instead",
        code={"archive": {"url": "https://me:secret@host/code.zip", "sha256": "a" * 64}},
    ),
    runtime(
        "the 64 lower-case hexadecimal digits that sha256sum prints",
        code={"archive": {"url": "https://host/code.zip", "sha256": "A" * 64}},
    ),
    runtime("spec.code.archive.sha256", code={"archive": {"url": "https://host/code.zip"}}),
    runtime("spec.handler", handler="handler"),
    runtime("spec.handler", handler="main.hand ler"),
    runtime("spec.runtime", runtime="Python 3"),
    image("spec.image", image=""),
    image("PORT and names that begin with TORPOR_ are set by Torpor", env=[{"name": "PORT"}]),
    image("choose another name", env=[{"name": "A"}, {"name": "TORPOR_X"}]),
    image("spec.env[0].name", env=[{"name": "A B"}]),
    image("spec.env[1]", env=[{"name": "A"}, {"name": "A"}]),
    image(
        "give value or valueFrom, not both",
        env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
    ),
    image(
        "give exactly one of configMapKeyRef, secretKeyRef, fieldRef",
        env=[{"name": "A", "valueFrom": {}}],
    ),
    image("give exactly one of configMapRef and secretRef", envFrom=[{}]),
    volume("give each volume exactly one of configMap, secret, emptyDir"),
    volume("the volumes tmp and code are Torpor's", name="code", emptyDir={}),
    volume("mountPath must be an absolute path", mountPath="a/b", emptyDir={}),
    volume("mountPath must be an absolute path", mountPath="/a/../b", emptyDir={}),
    volume("outside of /var/torpor", mountPath="/var/torpor/code", emptyDir={}),
    volume("spec.volumes[0].subPath", subPath="../x", emptyDir={}),
    image(
        "two volumes have the same mountPath; give each its own",
        volumes=[{"name": name, "mountPath": "/a", "emptyDir": {}} for name in "ab"],
    ),
    image(
        "exactly one of httpGet (with a path) and tcpSocket", readinessProbe={"periodSeconds": 2}
    ),
    image("spec.resources.limits.memory", resources={"limits": {"memory": "much"}}),
    image("spec.gpu.count", gpu={"count": 0}),
    image("spec.port", port=0),
    image("spec.port", port=65536),
    image("spec.port", port="8080"),
    image("spec.protocol", protocol="http3"),
    runtime("spec.payload", payload="json"),
    image("spec.timeoutSeconds", timeoutSeconds=3601),
    image("spec.startupTimeoutSeconds", startupTimeoutSeconds=0),
    image("spec.hold.maxRequests", hold={"maxRequests": -1}),
    image("spec.hold.maxSeconds", hold={"maxSeconds": 0}),
    image('unknown field "spec.replicas"', replicas=2),
    image('unknown field "spec.scaling.minReplica"', scaling={"minReplica": 1}),
    image('unknown field "spec.securityContext"', securityContext={"privileged": True}),
    scaling("raise maxReplicas or lower minReplicas", minReplicas=3, maxReplicas=2),
    scaling("raise maxReplicas or lower initialReplicas", initialReplicas=21),
    scaling("burstWindowSeconds must not exceed windowSeconds", burstWindowSeconds=61),
    scaling("keep an instance with minReplicas: 1", warm="runtimePool"),
    scaling("lower target, raise limit, or write limit: 0", concurrency={"target": 5, "limit": 4}),
    scaling("spec.scaling.minReplicas", minReplicas=-1),
    scaling("spec.scaling.provisioned[0].schedule", provisioned=[{}]),
)
WORKFLOWS = (
    Wrong("Workflow", {}, "give exactly one of definition"),
    Wrong(
        "Workflow",
        {
            "definition": DEFINITION,
            "definitionFrom": {"configMapKeyRef": {"name": "a", "key": "b"}},
        },
        "give exactly one of definition",
    ),
    Wrong(
        "Workflow",
        {"definition": {**DEFINITION, "StartAt": "B"}},
        "StartAt must be the name of one of the States",
    ),
    Wrong("Workflow", {"definition": DEFINITION, "type": "FAST"}, "spec.type"),
    Wrong(
        "Workflow",
        {"definition": DEFINITION, "type": "Express"},
        "type cannot change; delete the Workflow and create it anew",
        was={"definition": DEFINITION},
    ),
    Wrong("Workflow", {"definition": DEFINITION}, "at most 52 characters", "a" * 53),
    Wrong("Workflow", {"definition": DEFINITION}, "part of the machine's name: lower case", "a.b"),
    Wrong("Workflow", {"definition": DEFINITION, "retention": {"days": 0}}, "spec.retention.days"),
    Wrong("Workflow", {"definition": DEFINITION, "timeout": 3}, 'unknown field "spec.timeout"'),
)
TRIGGERS = (
    Wrong("Trigger", {**BUS, "source": {}}, "give exactly one of http, schedule, queue, bus"),
    Wrong(
        "Trigger",
        {**BUS, "source": {"bus": {"name": "a"}, "queue": {"name": "q"}}},
        "give exactly one of http, schedule, queue, bus",
    ),
    Wrong("Trigger", BUS, "at most 52 characters", "a" * 53),
    Wrong("Trigger", BUS, "lower case letters, digits and '-', a letter first", "a.b"),
    Wrong(
        "Trigger",
        {**BUS, "source": {"http": {"path": "/a"}}, "dedupe": {"key": "id"}},
        "with source.http set async to true, or remove them",
    ),
    Wrong("Trigger", {**BUS, "target": {}}, "give exactly one of function, workflow, bus, queue"),
    Wrong(
        "Trigger",
        {**BUS, "target": {"bus": {"name": "b"}}, "batch": {"size": 2}},
        "takes events one by one; remove batch",
    ),
    Wrong(
        "Trigger",
        {"source": {"http": {"path": "/a"}}, "target": {"queue": {"name": "q"}}},
        "set source.http.async to true",
    ),
    Wrong(
        "Trigger",
        {**BUS, "source": {"http": {"path": "/function/a"}}},
        "the gateway's own: choose another path",
    ),
    Wrong(
        "Trigger",
        {**BUS, "source": {"http": {"path": "/a/../b"}}},
        "must not have . or .. between its slashes",
    ),
    Wrong(
        "Trigger",
        {**BUS, "source": {"http": {"path": "/a", "pathType": "exact"}}},
        'spec.source.http.pathType: Unsupported value: "exact": supported values:',
    ),
    Wrong(
        "Trigger",
        {**BUS, "source": {"queue": {"name": "q.fifo"}}, "ordering": {"key": "id"}},
        "is the key partitionkey: remove ordering",
    ),
    Wrong("Trigger", {**BUS, "source": {"schedule": {}}}, "give exactly one of cron"),
    Wrong(
        "Trigger",
        {**BUS, "source": {"storage": {"bucket": "b", "secret": "s"}}},
        "secret is for looking into the bucket: add pollSeconds",
    ),
    Wrong(
        "Trigger",
        {**BUS, "filter": {"pattern": {"a": [1]}, "cesql": "TRUE"}},
        "give pattern or cesql, not both",
    ),
    Wrong(
        "Trigger",
        {**BUS, "delivery": {"backoff": {"initialSeconds": 9, "maxSeconds": 8}}},
        "initialSeconds must not be more than maxSeconds",
    ),
    Wrong("Trigger", {**BUS, "delivery": {"maxAttempts": 0}}, "spec.delivery.maxAttempts"),
    Wrong(
        "Trigger",
        {**BUS, "source": {"queue": {"name": "q"}}},
        "cannot be changed: delete the Trigger and create it anew",
        was=BUS,
    ),
)
WRONG = (*FUNCTIONS, *WORKFLOWS, *TRIGGERS)
"""Every one of them."""
