"""Do Torpor's own roles run, lead, answer, and fit this program? Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from torpor.cli.doctor.facts import CONTROLLER, ENGINE, EVENTS, GATEWAY, Facts, Json
from torpor.cli.doctor.finding import Finding, Grade

ROLES, LEADER, KEY, DOOR, VERSIONS = "roles", "leader", "key", "gateway", "versions"
_INSTALL = "helm install torpor charts/torpor --namespace {namespace} --create-namespace"
_UPGRADE = "helm upgrade torpor charts/torpor --namespace {namespace} --reset-then-reuse-values"
_PURPOSES = {
    CONTROLLER: "nothing new is reconciled, and nothing scales down",
    GATEWAY: "no function can be called",
    ENGINE: "no execution of a Workflow goes on",
    EVENTS: "no event is taken or delivered",
}
_BEHIND = {ENGINE: "PostgreSQL", EVENTS: "NATS"}
"""Without what a role is not ready."""
_STUCK = (
    "CrashLoopBackOff",
    "CreateContainer",
    "ErrImage",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
    "Unschedulable",
)
"""How the reasons begin with which a new pod does not get further by itself."""
LEASE_SECONDS = 15.0
"""A Lease that was not renewed for so long may be taken over."""
OLDEST_KUBERNETES = (1, 30)
_LONGEST = 300
_VERSION = re.compile(r"\d+\.\d+")


def check_roles(facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the Deployments of the roles."""
    if facts.deployments.value is None:
        what = f"the roles in {facts.namespace} cannot be seen: {facts.deployments.problem}"
        yield Finding(
            Grade.UNKNOWN,
            ROLES,
            what,
            "whether they run is not known",
            "ask somebody who may, or name the place: torpor doctor --torpor-namespace …",
        )
        return
    if not facts.installed:
        yield Finding(
            Grade.PROBLEM,
            ROLES,
            f"Torpor is not installed in {facts.namespace}",
            "nobody looks after Functions; --torpor-namespace says where else to look",
            _INSTALL.format(namespace=facts.namespace),
        )
        return
    for role in (CONTROLLER, GATEWAY):
        if facts.deployment(role) is None:
            what = f"there is no {role} in {facts.namespace}"
            command = _UPGRADE.format(namespace=facts.namespace)
            yield Finding(Grade.PROBLEM, ROLES, what, _PURPOSES[role], command)
    yield from _optional(facts)
    for role in _PURPOSES:
        found = facts.deployment(role)
        if found is not None:
            yield from _readiness(role, found, facts)


def _optional(facts: Facts) -> Iterator[Finding]:
    upgrade = _UPGRADE.format(namespace=facts.namespace)
    if facts.workflows.items and facts.deployment(ENGINE) is None:
        what = f"there are {len(facts.workflows.items)} Workflows, but no {ENGINE}"
        command = f"{upgrade} --set workflows.enabled=true"
        yield Finding(Grade.PROBLEM, ROLES, what, _PURPOSES[ENGINE], command)
    if facts.deployment(EVENTS) is not None:
        return
    command = f"{upgrade} --set events.enabled=true"
    asking = [it for it in facts.triggers.items if _needs_events(it["spec"])]
    if asking:
        what = f"there are {len(asking)} Triggers that need events, but no {EVENTS}"
        yield Finding(Grade.PROBLEM, ROLES, what, _PURPOSES[EVENTS], command)
    called = [it for it in facts.functions.items if it["spec"].get("async")]
    if called:
        what = f"there are {len(called)} Functions with spec.async, but no {EVENTS}"
        yield Finding(Grade.PROBLEM, ROLES, what, "no asynchronous call is taken", command)


def _needs_events(trigger: Json) -> bool:
    """Return whether the gateways alone cannot serve it: they forward requests to Functions."""
    http = (trigger.get("source") or {}).get("http")
    forwarded = http is not None and not http.get("async")
    return not forwarded or "function" not in (trigger.get("target") or {})


def _readiness(role: str, deployment: Json, facts: Facts) -> Iterator[Finding]:
    wanted = int(deployment["spec"].get("replicas", 1))
    ready = int((deployment.get("status") or {}).get("readyReplicas") or 0)
    why = _why_not(role, facts)
    if ready >= wanted:
        if why.startswith(_STUCK):
            yield _roll_out(role, why, facts)
        return
    what = f"{ready} of {wanted} {role} are ready{f': {why}' if why else ''}"
    label = f"app.kubernetes.io/component={role.removeprefix('torpor-')}"
    command = f"kubectl -n {facts.namespace} describe pods -l {label}"
    if why.startswith("CrashLoopBackOff"):
        command = f"kubectl -n {facts.namespace} logs -l {label} --previous --tail=20"
    if role in _BEHIND and why:
        command += f"; is {_BEHIND[role]} up, and reachable from there?"
    grade = Grade.ADVICE if ready else Grade.PROBLEM
    matters = "one more lost and it is gone" if ready else _PURPOSES[role]
    yield Finding(grade, ROLES, what, matters, command)


def _roll_out(role: str, why: str, facts: Facts) -> Finding:
    what = f"a new pod of {role} does not start: {why}"
    matters = "those of before serve on, without what was changed"
    command = f"helm rollback torpor --namespace {facts.namespace}, or mend what was changed"
    return Finding(Grade.ADVICE, ROLES, what, matters, command)


def _why_not(role: str, facts: Facts) -> str:
    component = role.removeprefix("torpor-")
    for pod in facts.pods.items:
        meta = pod["metadata"]
        if (meta.get("labels") or {}).get("app.kubernetes.io/component") != component:
            continue
        told = facts.unready.get(meta["name"]) or _waiting(pod)
        if told:
            return told
    return ""


def _waiting(pod: Json) -> str:
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason')}: {condition.get('message')}"
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            return _stuck(waiting, container.get("lastState") or {})
    return ""


def _stuck(waiting: Json, before: Json) -> str:
    """Return why a container waits: how it last ended, else what the kubelet says of it."""
    ended = before.get("terminated")
    if not ended:
        return f"{waiting.get('reason')}: {waiting.get('message', '')}".rstrip(": ")
    lines = str(ended.get("message") or "").strip().splitlines()
    last = f": {lines[-1][:_LONGEST]}" if lines else ""
    return f"{waiting.get('reason')}: exit code {ended.get('exitCode')}{last}"


def check_leader(facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the Lease of the controllers."""
    if not facts.installed:
        return
    command = f"kubectl -n {facts.namespace} logs deployment/{CONTROLLER} --all-pods --tail=50"
    why = "without a leader nothing scales down, and no status is written"
    if facts.lease.value is None:
        grade = Grade.PROBLEM if facts.lease.missing else Grade.UNKNOWN
        what = f"the Lease {facts.namespace}/{CONTROLLER}: {facts.lease.problem}"
        yield Finding(grade, LEADER, what, why, command)
        return
    spec = facts.lease.value.get("spec") or {}
    if not spec.get("holderIdentity"):
        yield Finding(Grade.PROBLEM, LEADER, "no controller leads", why, command)
        return
    renewed = datetime.fromisoformat(spec["renewTime"])
    seconds = (facts.now - renewed).total_seconds() - (facts.skew_seconds or 0.0)
    if seconds > LEASE_SECONDS:
        what = f"{spec['holderIdentity']} leads, but was last heard of {seconds:.0f} s ago"
        yield Finding(Grade.PROBLEM, LEADER, what, why, command)


def check_key(facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the Secret that all tokens come from."""
    if not facts.installed or facts.secret.value is not None:
        return
    why = "roles, instances and the API of events know each other by tokens made of it"
    if facts.secret.missing:
        what = f"the Secret {facts.namespace}/torpor-internal is missing"
        command = f"kubectl -n {facts.namespace} rollout restart deployment/{CONTROLLER}"
        yield Finding(Grade.PROBLEM, KEY, what, why, command)
        return
    what = f"the Secret torpor-internal cannot be seen: {facts.secret.problem}"
    command = "nothing, unless you use torpor dlq, replay or audit: ask somebody who may then"
    yield Finding(Grade.UNKNOWN, KEY, what, why, command)


def check_door(facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the way to the gateways."""
    if facts.deployment(GATEWAY) is None or facts.door.status in (200, 404):
        return
    why = "torpor invoke goes that way; others may still reach the gateways by their Service"
    what = f"no gateway answers through the API server: {facts.door.problem}"
    command = (
        f"kubectl -n {facts.namespace} port-forward service/{GATEWAY} 8080:http, and then "
        "torpor invoke --gateway http://127.0.0.1:8080 …"
    )
    yield Finding(Grade.ADVICE, DOOR, what, why, command)


def check_versions(facts: Facts) -> Iterator[Finding]:
    """Yield what does not fit together: program, roles, Kubernetes."""
    found = (facts.server.value or {}).get("gitVersion", "")
    numbers = tuple(int(part) for part in found.lstrip("v").split(".")[:2] if part.isdigit())
    if numbers and numbers < OLDEST_KUBERNETES:
        oldest = ".".join(map(str, OLDEST_KUBERNETES))
        what = f"this is Kubernetes {found}"
        why = f"Torpor is made for {oldest} and newer: rules of the kinds may be refused"
        yield Finding(Grade.PROBLEM, VERSIONS, what, why, "upgrade the cluster")
    for role in _PURPOSES:
        version = _version(facts.deployment(role))
        if version and version != facts.program:
            what = f"{role} is of version {version}, this program of {facts.program}"
            why = "what one of them does not know of fails in the other"
            command = _UPGRADE.format(namespace=facts.namespace)
            yield Finding(Grade.ADVICE, VERSIONS, what, why, command)


def _version(deployment: Json | None) -> str:
    """Return the version that a role's image is tagged with, else that of the chart; or nothing."""
    if deployment is None:
        return ""
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    tag = str(container.get("image", "")).rpartition("/")[2].partition("@")[0].partition(":")[2]
    labels = deployment["metadata"].get("labels") or {}
    return tag if _VERSION.match(tag) else str(labels.get("app.kubernetes.io/version", ""))
