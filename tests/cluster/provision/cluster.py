"""Creates and deletes the kind cluster, and recognises one that is dead."""

import os
import socket
from pathlib import Path

from . import kind_config
from .commands import MINUTE, ProvisionFailed, run, step, succeeds
from .processes import eventually
from .settings import Settings

NODE_LABEL = "io.x-k8s.kind.cluster"
API_SERVER_PORT = 6443


def kubectl(settings: Settings, *arguments: str, timeout: float = 30.0) -> str:
    program = settings.cache / "bin" / "kubectl"
    words = (program if program.exists() else "kubectl", "--kubeconfig", settings.kubeconfig)
    return run(*words, *arguments, timeout=timeout)


def answers(settings: Settings) -> bool:
    try:
        kubectl(settings, "get", "--raw", "/readyz", "--request-timeout=5s")
    except ProvisionFailed:
        return False
    return True


def nodes(settings: Settings) -> list[str]:
    """The containers of the cluster, dead ones included."""
    form = ("--format", "{{.Names}}", "--filter", f"label={NODE_LABEL}={settings.name}")
    return sorted(run("docker", "ps", "--all", *form).split())


def others(settings: Settings) -> set[str]:
    """Names of further clusters on the same daemon."""
    form = ("--format", f'{{{{.Label "{NODE_LABEL}"}}}}', "--filter", f"label={NODE_LABEL}")
    return set(run("docker", "ps", "--all", *form).split()) - {settings.name}


def is_usable(settings: Settings, kind: Path) -> bool:
    """Whether the cluster answers, in the size that is asked for."""
    arguments = ("--name", settings.name, "--kubeconfig", settings.kubeconfig)
    if not succeeds(kind, "export", "kubeconfig", *arguments):
        return False
    if not eventually(lambda: answers(settings), 10):
        return False
    _refuse_other_size(settings, len(nodes(settings)))
    return True


def create(settings: Settings, kind: Path, image: str) -> None:
    configuration = settings.state / f"kind-{settings.name}.yaml"
    configuration.write_text(kind_config.write(settings))
    with step(f"create cluster {settings.name}, {settings.nodes or 1} node(s)"):
        run(
            *(kind, "create", "cluster", "--name", settings.name, "--image", image),
            *("--config", configuration, "--kubeconfig", settings.kubeconfig),
            timeout=15 * MINUTE,
        )


def await_ready(settings: Settings) -> None:
    wait = ("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=180s")
    with step("wait for the nodes"):
        kubectl(settings, *wait, timeout=200)
    dns = ("--namespace", "kube-system", "rollout", "status", "deployment/coredns")
    with step("wait for CoreDNS"):
        kubectl(settings, *dns, "--timeout=180s", timeout=200)


def http_address(settings: Settings) -> str:
    """Where this machine reaches the node port of HTTP: at the node itself if it can.

    The mapped port is a process of Docker's that hands every connection on. It stops listening for
    good when a burst has used up its file descriptors.
    """
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    node = run("docker", "inspect", "--format", form, f"{settings.name}-control-plane").strip()
    if _reachable(node, API_SERVER_PORT):
        return f"{node}:{kind_config.HTTP_NODE_PORT}"
    return f"127.0.0.1:{settings.http_port}"


def _reachable(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def delete(settings: Settings, kind: Path) -> None:
    with step(f"delete cluster {settings.name}"):
        run(
            *(kind, "delete", "cluster", "--name", settings.name),
            *("--kubeconfig", settings.kubeconfig),
        )
        remains = nodes(settings)
        if remains:
            run("docker", "rm", "--force", "--volumes", *remains)
    settings.kubeconfig.unlink(missing_ok=True)


def require_existing(settings: Settings) -> None:
    """A cluster that somebody else provides has to answer, and nothing else is asked of it."""
    if not os.environ.get("KUBECONFIG"):
        raise ProvisionFailed("TORPOR_TEST_CLUSTER=existing needs KUBECONFIG to name the cluster")
    with step(f"ask the existing cluster of {settings.kubeconfig}"):
        kubectl(settings, "get", "--raw", "/readyz", "--request-timeout=10s")


def _refuse_other_size(settings: Settings, size: int) -> None:
    if settings.nodes not in (None, size):
        raise ProvisionFailed(
            f"cluster {settings.name} is up with {size} node(s), not {settings.nodes}: "
            "run `down` first, or choose another --name"
        )
