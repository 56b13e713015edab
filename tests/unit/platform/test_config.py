"""Where the API is found: a pod's service account, or a kubeconfig."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import pytest

from torpor.platform.kubernetes.config import NoCluster, TokenFile, from_kubeconfig, in_cluster

EXEC = """
apiVersion: v1
kind: Config
current-context: one
contexts: [{{name: one, context: {{cluster: here, user: me}}}}]
clusters: [{{name: here, cluster: {{server: "http://127.0.0.1:1"}}}}]
users:
- name: me
  user: {user}
"""


def service_account(folder: Path) -> Path:
    (folder / "token").write_text("secret\n")
    (folder / "ca.crt").write_text(Path(certifi.where()).read_text())
    return folder


def test_a_pod_finds_its_server_and_token(tmp_path: Path) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    access = in_cluster(environment, service_account(tmp_path))
    assert access is not None
    assert access.server == "https://10.0.0.1:6443"
    assert access.credentials.headers() == {"Authorization": "Bearer secret"}
    assert access.tls is not None
    assert access.tls.verify_mode is ssl.CERT_REQUIRED


def test_an_ipv6_server_is_bracketed(tmp_path: Path) -> None:
    access = in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1"}, service_account(tmp_path))
    assert access is not None
    assert access.server == "https://[fd00::1]:443"


def test_outside_of_a_cluster_there_is_no_service_account(tmp_path: Path) -> None:
    assert in_cluster({}, service_account(tmp_path)) is None
    assert in_cluster({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path / "none") is None


def test_a_rotated_token_is_read_after_a_minute(tmp_path: Path) -> None:
    file = service_account(tmp_path) / "token"
    now = 0.0
    token = TokenFile(file, clock=lambda: now)
    assert token.headers() == {"Authorization": "Bearer secret"}
    file.write_text("fresh")
    now = 59.0
    assert token.headers() == {"Authorization": "Bearer secret"}
    now = 61.0
    assert token.headers() == {"Authorization": "Bearer fresh"}


def test_a_kubeconfig_with_a_token(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(EXEC.format(user="{token: abc}"))
    access = from_kubeconfig(str(file))
    assert (access.server, access.tls) == ("http://127.0.0.1:1", None)
    assert access.credentials.headers() == {"Authorization": "Bearer abc"}


async def test_a_kubeconfig_with_an_exec_login_logs_in_again_when_refused(tmp_path: Path) -> None:
    login = tmp_path / "login"
    count = tmp_path / "count"
    credential = '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential"'
    login.write_text(
        f"#!/bin/sh\necho x >> {count}\n"
        f"""echo '{credential},"status":{{"token":"t'$(wc -l < {count} | tr -d ' ')'"}}}}'\n"""
    )
    login.chmod(0o755)
    user = (
        "{exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, "
        f"command: {login}}}}}"
    )
    file = tmp_path / "config"
    file.write_text(EXEC.format(user=user))
    access = from_kubeconfig(str(file))
    assert access.credentials.headers() == {"Authorization": "Bearer t1"}
    await access.credentials.refresh()
    assert access.credentials.headers() == {"Authorization": "Bearer t2"}


def test_a_kubeconfig_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match="nowhere"):
        from_kubeconfig(str(tmp_path / "nowhere"))
