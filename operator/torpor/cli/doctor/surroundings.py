"""Names, clocks, policies, rights: what Torpor needs of a cluster and its people. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from torpor.cli.doctor.facts import CONTROLLER, Facts, Right
from torpor.cli.doctor.finding import Finding, Grade
from torpor.resources.tokens import SECRET_NAME

CLOCK, DOMAIN, POLICIES, RIGHTS, SECURITY = "clock", "domain", "policies", "rights", "security"
SKEW_SECONDS = 5.0
"""An answer's Date is in whole seconds, and on its way."""
_DEFAULT_DOMAIN = "localhost"
_ENFORCE = "pod-security.kubernetes.io/enforce"


def check_clock(facts: Facts) -> Iterator[Finding]:
    """Yield a finding where our clock and the API server's differ."""
    skew = facts.skew_seconds
    if skew is None or abs(skew) <= SKEW_SECONDS:
        return
    direction = "ahead of" if skew > 0 else "behind"
    what = f"this machine's clock is {abs(skew):.0f} s {direction} the API server's"
    why = "ages are shown wrong, and signed requests are refused beyond five minutes"
    yield Finding(Grade.ADVICE, CLOCK, what, why, "sudo timedatectl set-ntp true")


def check_domain(facts: Facts) -> Iterator[Finding]:
    """Yield what keeps a function's URL from leading anywhere."""
    domain = facts.domain
    if not domain:
        return
    upgrade = (
        "helm upgrade torpor charts/torpor --namespace {} --reset-then-reuse-values --set domain=…"
    )
    if domain == _DEFAULT_DOMAIN:
        what = "functions answer at <name>.<namespace>.localhost, the default"
        why = "from elsewhere than this machine those names lead nowhere"
        yield Finding(Grade.ADVICE, DOMAIN, what, why, upgrade.format(facts.namespace))
    elif facts.unresolved is not None:
        what = f"no DNS name below {domain} is known here: {facts.unresolved}"
        why = "the URLs in the status of Functions lead nowhere"
        command = f"add the DNS record *.{domain} with the address of Ingress or load balancer"
        yield Finding(Grade.PROBLEM, DOMAIN, what, why, command)


def check_policies(facts: Facts) -> Iterator[Finding]:
    """Yield that nobody can say from outside whether NetworkPolicies hold."""
    if not facts.installed:
        return
    yield Finding(
        Grade.UNKNOWN,
        POLICIES,
        "whether this cluster enforces NetworkPolicies cannot be known from outside",
        "where it does not, any pod reaches functions past the gateway and its limits",
        f"kubectl run probe --rm -it --restart=Never --image=busybox -- wget -qO- -T 3 "
        f"http://torpor-events-internal.{facts.namespace}.svc:8090 has to time out",
    )


def check_security(facts: Facts) -> Iterator[Finding]:
    """Yield where namespaces with functions let anything run."""
    used = {str(it["metadata"]["namespace"]) for it in facts.functions.items}
    open_ones = sorted(
        name
        for it in facts.namespaces.items
        if (name := str(it["metadata"]["name"])) in used
        and (it["metadata"].get("labels") or {}).get(_ENFORCE, "privileged") == "privileged"
    )
    if open_ones:
        names = " ".join(open_ones)
        what = f"no Pod Security level is enforced in {', '.join(open_ones)}"
        why = "pods of functions meet the level restricted; other pods there need not"
        command = f"kubectl label namespace {names} {_ENFORCE}=restricted"
        yield Finding(Grade.ADVICE, SECURITY, what, why, command)


def rights(own: str, namespace: str) -> tuple[Right, ...]:
    """Return what a person's verbs of `torpor` ask the API server for."""
    group = "torpor.dev"
    return (
        Right("list", group, "functions", "", own, "torpor fn list"),
        Right("patch", group, "functions", "", own, "kubectl apply of Functions"),
        Right("delete", group, "functions", "", own, "torpor fn delete"),
        Right("get", "", "pods", "log", own, "torpor fn logs"),
        Right("list", "batch", "jobs", "", own, "torpor run list"),
        Right("list", "events.k8s.io", "events", "", own, "torpor fn show: what happened lately"),
        Right("create", "", "services", "proxy", namespace, "torpor invoke without --gateway"),
        Right("patch", group, "triggers", "", own, "torpor trigger pause"),
        Right("get", "", "secrets", "", namespace, "torpor dlq, replay and audit", SECRET_NAME),
    )


def check_rights(facts: Facts) -> Iterator[Finding]:
    """Yield a finding for each verb that this person may not use."""
    for right in facts.denied:
        what = f"you may not {right.words}"
        command = f"ask an administrator; kubectl auth can-i {right.words} tells when you may"
        yield Finding(Grade.ADVICE, RIGHTS, what, f"{right.purpose} needs it", command)


def runtimes(facts: Facts) -> dict[str, str]:
    """Return the image of each runtime that the controller was told of."""
    pairs = facts.setting(CONTROLLER, "TORPOR_RUNTIME_IMAGES").split(",")
    return {name: image for name, _, image in (pair.partition("=") for pair in pairs) if image}
