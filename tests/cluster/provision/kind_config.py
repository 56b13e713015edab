"""The shape of the test cluster: nodes, ports on the loopback interface, and an audit log.

The audit log is how tests count what a user really asked of the API server, refused and
unchanged requests included. It is written inside the control plane's node.
"""

import json
import shutil
from typing import Any

from .settings import FILES, Settings

HTTP_NODE_PORT = 30080
HTTPS_NODE_PORT = 30443
EVENTS_NODE_PORT = 30820
AUDIT_LOG = "/var/log/kubernetes/audit.log"
AUDIT_POLICY = "/etc/kubernetes/audit/policy.yaml"
# One file for a whole test run: a count must not begin in one file and end in the next.
AUDIT_MEGABYTES = "2000"
# Room for a hundred functions awake at once on one node; a node has 254 addresses.
MAX_PODS = 240


def write(settings: Settings) -> str:
    """The configuration as JSON, which is YAML; the policy that it mounts is put in place."""
    policy = settings.state / "audit-policy.yaml"
    shutil.copy(FILES / "audit-policy.yaml", policy)
    control_plane = {
        "role": "control-plane",
        "extraMounts": [
            {"hostPath": str(policy), "containerPath": AUDIT_POLICY, "readOnly": True},
        ],
        "extraPortMappings": [
            _port(HTTP_NODE_PORT, settings.http_port),
            _port(HTTPS_NODE_PORT, settings.https_port),
            _port(EVENTS_NODE_PORT, settings.events_port),
        ],
    }
    workers = [{"role": "worker"} for _ in range((settings.nodes or 1) - 1)]
    configuration = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [control_plane, *workers],
        "kubeadmConfigPatches": [json.dumps(_audited_api_server()), json.dumps(_roomy_kubelet())],
    }
    return json.dumps(configuration, indent=2)


def _port(node_port: int, host_port: int) -> dict[str, Any]:
    return {"containerPort": node_port, "hostPort": host_port, "listenAddress": "127.0.0.1"}


def _audited_api_server() -> dict[str, Any]:
    return {
        "kind": "ClusterConfiguration",
        "apiServer": {
            "extraArgs": {
                "audit-policy-file": AUDIT_POLICY,
                "audit-log-path": AUDIT_LOG,
                "audit-log-maxsize": AUDIT_MEGABYTES,
            },
            "extraVolumes": [
                _volume("audit-policy", AUDIT_POLICY, "File", read_only=True),
                _volume("audit-log", AUDIT_LOG.rsplit("/", 1)[0], "DirectoryOrCreate"),
            ],
        },
    }


def _roomy_kubelet() -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "maxPods": MAX_PODS,
    }


def _volume(name: str, path: str, kind: str, *, read_only: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "hostPath": path,
        "mountPath": path,
        "pathType": kind,
        "readOnly": read_only,
    }
