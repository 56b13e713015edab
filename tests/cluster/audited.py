"""What Torpor's service accounts asked of the API server, and what they may ask: to compare them.

The audit log has every request since the cluster was made; roles are read from the cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.cluster.api import Api, Json
from tests.cluster.harness import SYSTEM, command
from tests.cluster.provision.kind_config import AUDIT_LOG

ACCOUNTS = f"system:serviceaccount:{SYSTEM}:torpor-"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: who asked for what, and whether RBAC let them."""

    account: str
    group: str
    resource: str
    verb: str
    namespace: str
    name: str
    denied: bool

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}".strip("/")
        return f"{self.account}: {self.verb} {_full(self.group, self.resource)} {place}".strip()


@dataclass(frozen=True, slots=True)
class Grant:
    """A verb that an account has, in one namespace or ("") everywhere, for all names or one."""

    role: str
    account: str
    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""

    def covers(self, ask: Ask) -> bool:
        """Whether a request makes use of it."""
        same = (self.account, self.group, self.resource, self.verb)
        if same != (ask.account, ask.group, ask.resource, ask.verb):
            return False
        return self.namespace in ("", ask.namespace) and self.name in ("", ask.name)

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        named = f" {self.name}" if self.name else ""
        return f"{self.role}: {self.verb} {_full(self.group, self.resource)}{named}{where}"


def _full(group: str, resource: str) -> str:
    name, _, part = resource.partition("/")
    return f"{name}.{group}".rstrip(".") + (f"/{part}" if part else "")


def asks(node: str) -> list[Ask]:
    """Return what the accounts asked since the cluster was made, each kind of request once."""
    words = ("docker", "exec", node, "grep", "-h", ACCOUNTS, AUDIT_LOG)
    lines = command(*words, timeout=300).stdout.splitlines()
    return list(dict.fromkeys(ask for line in lines for ask in read(json.loads(line))))


def read(event: Mapping[str, Any]) -> Iterator[Ask]:
    """Yield what an event of the audit log asked for; nothing if it is somebody else's.

    A patch that makes its object needs `create` as well, which is asked for within it.
    """
    user, target = event["user"]["username"], event.get("objectRef", {})
    if not user.startswith(ACCOUNTS) or "resource" not in target:
        return
    status = event.get("responseStatus", {})
    refused = event.get("annotations", {}).get("authorization.k8s.io/decision") != "allow"
    # RBAC also speaks within a request, where a patch may not create.
    refused = refused or (status.get("code") == 403 and "cannot" in status.get("message", ""))
    part = target.get("subresource", "")
    resource = f"{target['resource']}/{part}" if part else target["resource"]
    made = event["verb"] == "patch" and status.get("code") == 201
    for verb in (event["verb"], "create") if made else (event["verb"],):
        yield Ask(
            account=user.rpartition(":")[2],
            group=target.get("apiGroup", ""),
            resource=resource,
            verb=verb,
            namespace=target.get("namespace", ""),
            name=target.get("name", ""),
            denied=refused,
        )


async def grants(api: Api) -> list[Grant]:
    """Return every verb that a Role or ClusterRole gives to one of the accounts."""
    found: list[Grant] = []
    for kind in ("rolebindings", "clusterrolebindings"):
        for binding in (await api.get(f"{RBAC}/{kind}"))["items"]:
            accounts = {
                subject["name"]
                for subject in binding.get("subjects", ())
                if subject["kind"] == "ServiceAccount"
                and subject.get("namespace") == SYSTEM
                and subject["name"].startswith("torpor-")
            }
            if accounts:
                found += _granted(accounts, await _role(api, binding), binding)
    return found


async def _role(api: Api, binding: Json) -> Json:
    name = binding["roleRef"]["name"]
    if binding["roleRef"]["kind"] == "ClusterRole":
        return await api.get(f"{RBAC}/clusterroles/{name}")
    return await api.get(f"{RBAC}/namespaces/{binding['metadata']['namespace']}/roles/{name}")


def _granted(accounts: Iterable[str], role: Json, binding: Json) -> Iterator[Grant]:
    namespace = binding["metadata"].get("namespace", "")
    for account in accounts:
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        for name in rule.get("resourceNames", ("",)):
                            label = role["metadata"]["name"]
                            yield Grant(label, account, group, resource, verb, namespace, name)
