"""`torpor doctor`, the whole command, against an API server that holds an installation."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import pytest

from tests.unit.cli.conftest import Torpor
from tests.unit.cli.fake_cluster import FakeCluster
from tests.unit.cli.test_fn import asleep, function, stuck
from torpor.cli.doctor.kinds import differences
from torpor.dev.manifests import crds
from torpor.resources.conditions import INVALID_WINDOW, NOT_STARTED, REFUSED
from torpor.resources.names import ANNOTATION_RUN, LABEL_RUN, LABEL_RUN_OF, FunctionKey
from torpor.resources.run import Run, RunState

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
JOBS = "/apis/batch/v1/jobs"
APPS = "/apis/apps/v1/namespaces/torpor-system/deployments"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/torpor-system/leases/torpor-controller"
SECRET = "/api/v1/namespaces/torpor-system/secrets/torpor-internal"
PODS = "/api/v1/namespaces/torpor-system/pods"
OURS = "/apis/torpor.dev/v1alpha1"
Json = dict[str, Any]


def role(name: str, ready: int = 2, **settings: str) -> Json:
    environment = [{"name": f"TORPOR_{key}", "value": value} for key, value in settings.items()]
    labels = {"app.kubernetes.io/version": version("torpor")}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 2,
            "template": {"spec": {"containers": [{"name": name, "env": environment}]}},
        },
        "status": {"readyReplicas": ready},
    }


def pod(name: str, component: str, container: Json) -> Json:
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/component": component}},
        "status": {"phase": "Running", "containerStatuses": [container]},
    }


def lease(age_seconds: float = 1, holder: str = "torpor-controller-a") -> Json:
    renewed = datetime.now(UTC) - timedelta(seconds=age_seconds)
    return {"spec": {"holderIdentity": holder, "renewTime": renewed.isoformat()}}


@pytest.fixture
def sound(cluster: FakeCluster) -> FakeCluster:
    """An installation with which nothing is wrong, but what cannot be known."""
    controller = role(
        "torpor-controller",
        DOMAIN="localhost.localdomain",
        RUNTIME_IMAGES="python3=torpor/runtime-python:1",
    )
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.objects = {
        "/version": {"gitVersion": "v1.34.4"},
        **{f"{CRDS}/{crd['metadata']['name']}": dict(crd) for crd in crds().values()},
        APPS: {"items": [controller, role("torpor-gateway")]},
        PODS: {"items": []},
        LEASE: lease(),
        SECRET: {"data": {"key": "x"}},
        f"{OURS}/workflows": {"items": []},
        f"{OURS}/triggers": {"items": []},
        JOBS: {"items": []},
        "/api/v1/nodes": {"items": []},
        "/api/v1/namespaces": {
            "items": [{"metadata": {"name": "shop", "labels": enforced}}],
        },
    }
    cluster.functions = [asleep("shop", "thumb")]
    return cluster


@pytest.fixture(autouse=True)
def known_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the domain of the test resolve, whatever the machine's resolver says."""

    async def getaddrinfo(self: object, host: str, *_: object, **__: object) -> list[object]:
        if host.endswith(".nowhere.example"):
            raise OSError(-2, "Name or service not known")
        return []

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", getaddrinfo)


async def findings(torpor: Torpor, *words: str) -> tuple[int, list[Json]]:
    done = await torpor("doctor", *words, "-o", "json")
    assert done.err == "", done.err
    return done.code, json.loads(done.out)["findings"]


async def test_a_sound_installation_has_no_problem(sound: FakeCluster, torpor: Torpor) -> None:
    done = await torpor("doctor")
    assert done.code == 0, done.out
    assert done.out.startswith("unknown: whether this cluster enforces NetworkPolicies")
    assert done.out.endswith("nothing is broken; 15 of 16 checks found nothing\n")


def without(path: str) -> Callable[[FakeCluster], None]:
    def change(fake: FakeCluster) -> None:
        del fake.objects[path]

    return change


def older_kind(fake: FakeCluster) -> None:
    path = f"{CRDS}/functions.torpor.dev"
    crd = copy.deepcopy(fake.objects[path])
    assert isinstance(crd, dict)
    del crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][
        "timeoutSeconds"
    ]
    fake.objects[path] = crd


def broken_engine(fake: FakeCluster) -> None:
    deployments = fake.objects[APPS]
    assert isinstance(deployments, dict)
    deployments["items"].append(role("torpor-engine", ready=0))
    ready = {"conditions": [{"type": "Ready", "status": "False"}], "phase": "Running"}
    name = "torpor-engine-a"
    labels = {"app.kubernetes.io/component": "engine"}
    fake.objects[PODS] = {
        "items": [{"metadata": {"name": name, "labels": labels}, "status": ready}]
    }
    fake.texts[f"{PODS}/{name}:9090/proxy/readyz"] = "ledger: PostgreSQL is away\nstopping: ok\n"


def crashing_gateway(fake: FakeCluster) -> None:
    deployments = fake.objects[APPS]
    assert isinstance(deployments, dict)
    deployments["items"][1] = role("torpor-gateway", ready=0)
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}
    ended = {"terminated": {"exitCode": 1, "message": "first\nno such variable\n"}}
    container = {"state": waiting, "lastState": ended}
    fake.objects[PODS] = {"items": [pod("torpor-gateway-a", "gateway", container)]}


def domain(name: str) -> Callable[[FakeCluster], None]:
    def change(fake: FakeCluster) -> None:
        fake.objects[APPS] = {
            "items": [role("torpor-controller", DOMAIN=name), role("torpor-gateway")]
        }

    return change


def holds(path: str, value: Json) -> Callable[[FakeCluster], None]:
    def change(fake: FakeCluster) -> None:
        fake.objects[path] = value

    return change


def functions(*found: Json) -> Callable[[FakeCluster], None]:
    def change(fake: FakeCluster) -> None:
        fake.functions = list(found)

    return change


def workflow(name: str) -> Json:
    return {"metadata": {"namespace": "shop", "name": name}, "spec": {}}


def trigger(name: str, source: str, settings: Json | None = None, **status: Any) -> Json:
    meta = {"namespace": "shop", "name": name}
    spec = {"source": {source: settings or {}}, "target": {"function": {"name": "f"}}}
    return {"metadata": meta, "spec": spec, "status": status}


def called_asynchronously(name: str) -> Json:
    found = asleep("shop", name)
    return {**found, "spec": {**found["spec"], "async": {"maxAttempts": 2}}}


def conditions(**found: tuple[str, str]) -> list[Json]:
    return [
        {"type": kind, "status": status, "reason": reason, "message": f"why {reason}"}
        for kind, (status, reason) in found.items()
    ]


def with_conditions(name: str, **found: tuple[str, str]) -> Json:
    return function("shop", name, conditions=conditions(**found))


def job_function(name: str, **found: tuple[str, str]) -> Json:
    return {**with_conditions(name, **found), "spec": {"image": "registry/it:1", "job": {}}}


@dataclass(frozen=True)
class Told:
    """A run as the leader told of it, this many minutes before the test looks."""

    function: str
    state: RunState
    reason: str
    minutes_ago: float
    number: int = 0

    def job(self) -> Json:
        moment = datetime.now(UTC) - timedelta(minutes=self.minutes_ago)
        at = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        run = Run(
            id=f"{self.function}-{self.number}",
            key=FunctionKey("shop", self.function),
            state=self.state,
            reason=self.reason,
            message="its word",
            created=at,
            finished=at if self.state.is_final else "",
        )
        meta = {
            "namespace": "shop",
            "name": run.id,
            "uid": run.id,
            "resourceVersion": "1",
            "creationTimestamp": at,
            "labels": {LABEL_RUN: run.id, LABEL_RUN_OF: self.function},
            "annotations": {ANNOTATION_RUN: json.dumps(run.to_json())},
        }
        return {"metadata": meta}


def failed(name: str, reason: str, *, times: int = 3) -> list[Told]:
    return [Told(name, RunState.FAILED, reason, at, at) for at in range(1, times + 1)]


def runs(*told: Told) -> Callable[[FakeCluster], None]:
    def change(fake: FakeCluster) -> None:
        fake.objects[JOBS] = {"items": [run.job() for run in told]}

    return change


AWAY = {"type": "Ready", "status": "False", "reason": "SourceAway", "message": "no route"}
BROKEN = [
    (without(f"{CRDS}/triggers.torpor.dev"), "kinds", "the kind Trigger is missing", "torpor-crds"),
    (older_kind, "kinds", "the cluster is older or another: spec.timeoutSeconds", "torpor-crds"),
    (
        holds(APPS, {"items": []}),
        "roles",
        "Torpor is not installed in torpor-system",
        "helm install",
    ),
    (
        holds(APPS, {"items": [role("torpor-controller")]}),
        "roles",
        "there is no torpor-gateway",
        "helm upgrade",
    ),
    (crashing_gateway, "roles", "CrashLoopBackOff: exit code 1: no such variable", "--previous"),
    (broken_engine, "roles", "0 of 2 torpor-engine are ready: ledger: PostgreSQL", "is PostgreSQL"),
    (
        holds(f"{OURS}/workflows", {"items": [workflow("saga")]}),
        "roles",
        "there are 1 Workflows, but no torpor-engine",
        "workflows.enabled=true",
    ),
    (
        holds(f"{OURS}/triggers", {"items": [trigger("t", "queue")]}),
        "roles",
        "there are 1 Triggers that need events",
        "events.enabled=true",
    ),
    (
        holds(f"{OURS}/triggers", {"items": [trigger("t", "http", {"async": True})]}),
        "roles",
        "there are 1 Triggers that need events",
        "events.enabled=true",
    ),
    (
        functions(asleep("shop", "a"), called_asynchronously("b")),
        "roles",
        "there are 1 Functions with spec.async, but no torpor-events",
        "events.enabled=true",
    ),
    (holds(LEASE, lease(60)), "leader", "last heard of", "logs deployment/torpor-controller"),
    (holds(LEASE, lease(holder="")), "leader", "no controller leads", "kubectl"),
    (without(LEASE), "leader", "the Lease torpor-system/torpor-controller", "kubectl"),
    (without(SECRET), "key", "torpor-internal is missing", "rollout restart"),
    (domain("nowhere.example"), "domain", "no DNS name below nowhere.example", "*.nowhere.example"),
    (holds("/version", {"gitVersion": "v1.29.9"}), "versions", "Kubernetes v1.29.9", "upgrade"),
    (
        functions(asleep("shop", "a"), stuck("CrashLoopBackOff")),
        "functions",
        "Function shop/thumb: CrashLoopBackOff: why",
        "torpor fn logs thumb -n shop --previous",
    ),
    (
        functions(
            with_conditions("f", Ready=("True", "Serving"), Stalled=("True", INVALID_WINDOW))
        ),
        "functions",
        "Function shop/f: InvalidWindow: why InvalidWindow",
        "kubectl -n shop edit function f: mend the field",
    ),
    (
        functions(with_conditions("f", Ready=("False", REFUSED), Stalled=("True", REFUSED))),
        "functions",
        "Function shop/f: Refused: why Refused",
        "kubectl -n shop edit function f: mend what the message names",
    ),
    (
        functions(with_conditions("f", Ready=("False", NOT_STARTED))),
        "functions",
        "Function shop/f: NotStarted: why NotStarted",
        "kubectl -n shop describe pods -l torpor.dev/function=f",
    ),
    (
        runs(*failed("encode", "OutOfMemory"), Told("encode", RunState.SUCCEEDED, "", 9)),
        "runs",
        "the last 3 runs of Function shop/encode failed, at last encode-1: OutOfMemory: its word",
        "kubectl -n shop edit function encode: raise resources.limits.memory",
    ),
    (
        runs(*failed("encode", "Failed", times=4)),
        "runs",
        "the last 4 runs of Function shop/encode failed",
        "torpor run logs encode-1 -n shop --all",
    ),
    (
        runs(
            Told("encode", RunState.PENDING, "Unschedulable", 11, 1),
            Told("encode", RunState.PENDING, "Unschedulable", 25, 2),
        ),
        "runs",
        "2 runs of Function shop/encode waiting; the oldest was made 25m ago, encode-2",
        "kubectl -n shop describe pods -l torpor.dev/run=encode-2",
    ),
    (
        runs(Told("encode", RunState.RUNNING, "NodeLost", 1)),
        "runs",
        "encode-0: NodeLost: its word",
        "kubectl get nodes",
    ),
    (
        holds(f"{OURS}/triggers", {"items": [trigger("t", "http", conditions=[AWAY])]}),
        "workflows and triggers",
        "Trigger shop/t: SourceAway: no route",
        "torpor trigger show shop/t",
    ),
]


@pytest.mark.parametrize(
    ("break_it", "check", "what", "command"), BROKEN, ids=[what for _, _, what, _ in BROKEN]
)
async def test_what_is_broken_is_told_with_the_command_that_mends_it(
    sound: FakeCluster,
    torpor: Torpor,
    break_it: Callable[[FakeCluster], None],
    check: str,
    what: str,
    command: str,
) -> None:
    break_it(sound)
    code, found = await findings(torpor)
    problems = [it for it in found if it["grade"] == "problem"]
    assert code == 1
    assert [(it["check"], what in it["what"], command in it["command"]) for it in problems] == [
        (check, True, True)
    ], problems


HARMS = [
    (
        with_conditions("f", Ready=("False", NOT_STARTED), Stalled=("True", INVALID_WINDOW)),
        [
            "its callers are answered 503 until somebody mends it",
            "it serves, but this window never keeps an instance ready for its callers",
        ],
    ),
    (
        with_conditions("f", Ready=("True", "Serving"), Stalled=("True", "CrashLoopBackOff")),
        ["it serves as it was before: its newest version does not start"],
    ),
    (
        job_function("f", Ready=("False", REFUSED), Stalled=("True", REFUSED)),
        ["no run of it is started until somebody mends it"],
    ),
]


@pytest.mark.parametrize(("obj", "harms"), HARMS, ids=["two", "rollout", "job"])
async def test_what_comes_of_each_trouble_is_told(
    sound: FakeCluster, torpor: Torpor, obj: Json, harms: list[str]
) -> None:
    sound.functions = [obj]
    _, found = await findings(torpor)
    assert [it["why"] for it in found if it["check"] == "functions"] == harms


USUAL_RUNS = {
    "two failures in a row": failed("encode", "Failed", times=2),
    "failures before one that succeeded": [
        Told("encode", RunState.SUCCEEDED, "", 0),
        *failed("encode", "Failed", times=4),
    ],
    "cancelled ones": [Told("encode", RunState.CANCELLED, "Cancelled", at) for at in range(5)],
    "one that starts": [Told("encode", RunState.PENDING, "Starting", 2)],
    "a long one": [Told("encode", RunState.RUNNING, "", 600)],
}


@pytest.mark.parametrize("told", USUAL_RUNS.values(), ids=USUAL_RUNS)
async def test_runs_as_they_usually_go_are_not_told(
    sound: FakeCluster, torpor: Torpor, told: list[Told]
) -> None:
    runs(*told)(sound)
    _, found = await findings(torpor)
    assert [it for it in found if it["check"] == "runs"] == []


def forged(told: Told, **wrong: Any) -> Json:
    """Return the Job of a run, with what anybody may have written into what is told of it."""
    obj = told.job()
    notes = obj["metadata"]["annotations"]
    notes[ANNOTATION_RUN] = json.dumps({**json.loads(notes[ANNOTATION_RUN]), **wrong})
    return obj


@pytest.mark.parametrize("created", ["yesterday", "2026-01-01T00:00:00", "", None, {}], ids=repr)
async def test_a_run_s_age_is_its_job_s(sound: FakeCluster, torpor: Torpor, created: Any) -> None:
    waits = Told("encode", RunState.PENDING, "Unschedulable", 25)
    sound.objects[JOBS] = {"items": [forged(waits, created=created)]}
    code, found = await findings(torpor)
    [problem] = [it for it in found if it["check"] == "runs"]
    assert code == 1
    assert "the oldest was made 25m ago, encode-0" in problem["what"]


async def test_commands_name_what_kubernetes_names(sound: FakeCluster, torpor: Torpor) -> None:
    names = {"id": "x; rm -rf ~ #", "namespace": "x; rm -rf ~ #", "function": "$(rm -rf ~)"}
    told = failed("encode", "OutOfMemory")
    told += [Told("film", RunState.PENDING, "FailedCreate", 20)]
    sound.objects[JOBS] = {"items": [forged(run, **names) for run in told]}
    _, found = await findings(torpor)
    assert [it["command"] for it in found if it["check"] == "runs"] == [
        "kubectl -n shop edit function encode: raise resources.limits.memory",
        "kubectl -n shop describe job film-0",
    ]


async def test_what_anybody_wrote_steers_no_terminal(sound: FakeCluster, torpor: Torpor) -> None:
    words = "no\x1b[2J memory\nproblem: all is lost\r\u202e"
    told = failed("encode", "OutOfMemory")
    sound.objects[JOBS] = {"items": [forged(run, message=words) for run in told]}
    done = await torpor("doctor")
    assert "no [2J memory problem: all is lost" in done.out
    assert done.out.replace("\n", "").isprintable()
    assert done.out.count("\nproblem:") + done.out.startswith("problem:") == 1


def default_domain(fake: FakeCluster) -> None:
    domain("localhost")(fake)


def one_gateway_short(fake: FakeCluster) -> None:
    deployments = fake.objects[APPS]
    assert isinstance(deployments, dict)
    deployments["items"][1] = role("torpor-gateway", ready=1)


def stuck_rollout(fake: FakeCluster) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "torpor:nope"'}
    new = pod("torpor-gateway-new", "gateway", {"ready": False, "state": {"waiting": waiting}})
    fake.objects[PODS] = {"items": [new]}


def other_version(fake: FakeCluster) -> None:
    deployments = fake.objects[APPS]
    assert isinstance(deployments, dict)
    deployments["items"][0]["metadata"]["labels"]["app.kubernetes.io/version"] = "9.9.9"


def other_image(fake: FakeCluster) -> None:
    deployments = fake.objects[APPS]
    assert isinstance(deployments, dict)
    containers = deployments["items"][1]["spec"]["template"]["spec"]["containers"]
    containers[0]["image"] = "registry.example.com:5000/torpor/gateway:8.8.8@sha256:00"


def newer_kind(fake: FakeCluster) -> None:
    path = f"{CRDS}/functions.torpor.dev"
    crd = copy.deepcopy(fake.objects[path])
    assert isinstance(crd, dict)
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["teleport"] = {"type": "boolean"}
    fake.objects[path] = crd


def no_logs(fake: FakeCluster) -> None:
    fake.denied = {("get", "pods")}


def unpulled(fake: FakeCluster) -> None:
    fake.objects["/api/v1/nodes"] = {"items": [{"status": {"images": [{"names": ["other:1"]}]}}]}
    found = function("shop", "py")
    found["spec"] = {"runtime": "python3"}
    fake.functions = [found]


ADVISED = [
    (default_domain, "domain", "the default"),
    (one_gateway_short, "roles", "1 of 2 torpor-gateway are ready"),
    (stuck_rollout, "roles", "a new pod of torpor-gateway does not start: ImagePullBackOff: Back-"),
    (other_version, "versions", "torpor-controller is of version 9.9.9"),
    (other_image, "versions", "torpor-gateway is of version 8.8.8"),
    (newer_kind, "kinds", "newer than this program: spec.teleport"),
    (no_logs, "rights", "you may not get pods --subresource=log -n shop"),
    (
        runs(Told("encode", RunState.PENDING, "Queued", 90)),
        "runs",
        "1 run of Function shop/encode waiting; the oldest was made 90m ago, encode-0: Queued",
    ),
    (unpulled, "images", "the image of runtime python3 is on no node"),
    (
        holds("/api/v1/namespaces", {"items": [{"metadata": {"name": "shop"}}]}),
        "security",
        "no Pod Security level is enforced in shop",
    ),
]


@pytest.mark.parametrize(("change", "check", "what"), ADVISED, ids=[what for _, _, what in ADVISED])
async def test_what_could_be_better_is_advice_and_status_0(
    sound: FakeCluster,
    torpor: Torpor,
    change: Callable[[FakeCluster], None],
    check: str,
    what: str,
) -> None:
    change(sound)
    code, found = await findings(torpor)
    advice = [it for it in found if it["grade"] == "advice"]
    assert code == 0, found
    assert [(it["check"], what in it["what"]) for it in advice] == [(check, True)], advice


async def test_what_may_not_be_seen_is_unknown_and_no_problem(
    sound: FakeCluster, torpor: Torpor
) -> None:
    sound.forbidden = {LEASE, SECRET, f"{CRDS}/functions.torpor.dev", "/api/v1/nodes"}
    code, found = await findings(torpor)
    assert code == 0
    assert [it["check"] for it in found if it["grade"] == "unknown"] == [
        *("kinds", "leader", "key", "policies")
    ]


async def test_a_cluster_that_does_not_answer_is_one_problem(
    torpor: Torpor, cluster: FakeCluster, tmp_path: Any
) -> None:
    kubeconfig = cluster.kubeconfig(tmp_path)
    kubeconfig.write_text(kubeconfig.read_text().replace(cluster.url, "http://127.0.0.1:1"))
    code, found = await findings(torpor, "--kubeconfig", str(kubeconfig))
    assert code == 1
    assert [it["check"] for it in found] == ["cluster"]
    assert "127.0.0.1:1: Connection refused" in found[0]["what"]


async def test_a_cluster_that_does_not_know_us_is_one_problem(
    torpor: Torpor, cluster: FakeCluster, tmp_path: Any
) -> None:
    kubeconfig = cluster.kubeconfig(tmp_path)
    kubeconfig.write_text(kubeconfig.read_text().replace("secret", "guess"))
    code, found = await findings(torpor, "--kubeconfig", str(kubeconfig))
    assert code == 1
    assert "the cluster does not know us" in found[0]["what"]


async def test_a_run_of_dev_is_looked_at_without_a_cluster(
    torpor: Torpor, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORPOR_WORKFLOWS", raising=False)
    monkeypatch.setenv("TORPOR_EVENTS", "http://127.0.0.1:1")
    code, found = await findings(torpor, "--dev", "--gateway", cluster.url)
    assert code == 1
    problems = [it["what"] for it in found if it["grade"] == "problem"]
    assert problems == [
        "the events API of torpor dev (TORPOR_EVENTS): no answer from http://127.0.0.1:1: "
        "127.0.0.1:1: Connection refused"
    ]


def test_schemas_differ_in_what_they_ask_not_in_what_they_say() -> None:
    one = {"properties": {"a": {"type": "string", "description": "x"}, "b": {"type": "integer"}}}
    other = {"properties": {"a": {"type": "string", "description": "y"}, "b": {"type": "string"}}}
    assert list(differences(one, other)) == ["b"]
    assert list(differences(one, {"properties": {}})) == ["a", "b"]
    deep = {"properties": {"l": {"items": {"properties": {"n": {"maximum": 2}}}}}}
    less = {"properties": {"l": {"items": {"properties": {"n": {"maximum": 1}}}}}}
    assert list(differences(deep, less)) == ["l[].n"]
