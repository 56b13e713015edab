"""Runs a Docker daemon by hand on a machine that has none, such as a container without systemd."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from . import packages, processes
from .commands import ProvisionFailed, run, step, succeeds
from .settings import FILES, Settings

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
DOCKER_PID = Path("/var/run/docker.pid")
MACHINE_CONFIGURATION = Path("/etc/docker/daemon.json")
CAP_SYS_RESOURCE = 24
ETHERNET_MTU = 1500

# Each node runs a systemd, a kubelet and a container runtime, and all of them watch files.
INOTIFY = {"max_user_instances": 1024, "max_user_watches": 524288}


def answers() -> bool:
    return succeeds("docker", "version", "--format", "{{.Server.Version}}")


def ensure(settings: Settings) -> bool:
    """Whether a daemon had to be started."""
    if answers():
        return False
    packages.ensure(packages.DAEMON_COMMANDS)
    if answers():  # an installed package starts its daemon where there is a systemd
        return False
    if os.geteuid() != 0:
        raise ProvisionFailed("no Docker daemon answers, and only root can start one")
    with step("start containerd and dockerd"):
        _start(settings)
    return True


def stop(settings: Settings) -> list[str]:
    """The names of the daemons that were ours and are stopped now."""
    return [name for name in ("dockerd", "containerd") if processes.stop(name, settings.state)]


def _start(settings: Settings) -> None:
    processes.stop("dockerd", settings.state)  # alive, but it does not answer
    _raise_inotify_limits()
    if not _containerd_answers():
        processes.stop("containerd", settings.state)
        processes.start("containerd", ["containerd"], settings.state)
        processes.await_answer("containerd", _containerd_answers, settings.state, 30)
    _forget_dead_daemon()
    arguments = ["--config-file", str(_write_configuration(settings))]
    processes.start("dockerd", ["dockerd", *arguments], settings.state)
    processes.await_answer("dockerd", answers, settings.state, 60)


def _containerd_answers() -> bool:
    if not Path(CONTAINERD_SOCKET).is_socket():  # ctr would wait ten seconds for it to appear
        return False
    return succeeds("ctr", "--address", CONTAINERD_SOCKET, "version")


def _forget_dead_daemon() -> None:
    """A killed dockerd leaves its pid, and the next one refuses if anybody has that pid now."""
    try:
        pid = int(DOCKER_PID.read_text())
    except (OSError, ValueError):
        return
    if not processes.is_named(pid, "dockerd"):
        DOCKER_PID.unlink(missing_ok=True)


def _raise_inotify_limits() -> None:
    for name, wanted in INOTIFY.items():
        limit = Path("/proc/sys/fs/inotify", name)
        if int(limit.read_text()) >= wanted:
            continue
        try:
            limit.write_text(str(wanted))
        except OSError:  # withheld from this machine: the limit is met only by larger clusters
            return


def _write_configuration(settings: Settings) -> Path:
    """The machine's own configuration with ours added: dockerd takes no setting from two places."""
    configuration: dict[str, Any] = {}
    if MACHINE_CONFIGURATION.exists():
        configuration = json.loads(MACHINE_CONFIGURATION.read_text())
    configuration.setdefault("mtu", _mtu())
    configuration["containerd"] = CONTAINERD_SOCKET
    if not _may_raise_limits():
        configuration.setdefault("runtimes", {})["bounded"] = {"path": _install_runtime(settings)}
        configuration["default-runtime"] = "bounded"
    path = settings.state / "daemon.json"
    path.write_text(json.dumps(configuration, indent=2))
    return path


def _install_runtime(settings: Settings) -> str:
    """A copy: the daemon outlives the checkout it was started from."""
    return str(shutil.copy(FILES / "runc-bounded", settings.state / "runc-bounded"))


def _may_raise_limits() -> bool:
    lines = Path("/proc/self/status").read_text().splitlines()
    bounding = next(line.split()[1] for line in lines if line.startswith("CapBnd:"))
    return bool(int(bounding, 16) >> CAP_SYS_RESOURCE & 1)


def _mtu() -> int:
    """What the way out carries: larger packets from a container would vanish silently."""
    words = run("ip", "-4", "route", "show", "default").split()
    if "dev" not in words:
        return ETHERNET_MTU
    device = words[words.index("dev") + 1]
    return min(ETHERNET_MTU, int(Path("/sys/class/net", device, "mtu").read_text()))
