"""The command behind `make cluster` and `make cluster-down`.

`up` leaves a cluster that answers, `images` puts this checkout's images into it, `env` prints
what a shell needs to reach it, `status` tells what is there, `down` takes it away.
"""

import argparse
import fcntl
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import base_images, checkout_images, cluster, daemon, docker, node_image, registry, tools
from .commands import ProvisionFailed, complain, note
from .processes import running
from .settings import Settings


def main() -> int:
    arguments = _parse()
    settings = Settings.read(os.environ, arguments.name, arguments.nodes)
    try:
        if arguments.command in READ_ONLY:
            COMMANDS[arguments.command](settings)
            return 0
        with _alone(settings):
            COMMANDS[arguments.command](settings)
    except ProvisionFailed as failure:
        complain(f"error: {failure}")
        return 1
    return 0


def up(settings: Settings) -> None:
    if settings.existing:
        cluster.require_existing(settings)
        return
    started = daemon.ensure(settings)
    kind = tools.ensure_kind(settings)
    if started and cluster.nodes(settings):
        note(f"cluster {settings.name} is left over from a Docker daemon that is gone")
        cluster.delete(settings, kind)
    if not _is_usable(settings, kind):
        _create(settings, kind)
    tools.ensure_helm(settings)
    cluster.await_ready(settings)
    note(f"cluster {settings.name} is up: http on 127.0.0.1:{settings.http_port}")


def down(settings: Settings) -> None:
    if settings.existing:
        note("the cluster is somebody else's and stays")
        return
    if daemon.answers() and cluster.nodes(settings):
        cluster.delete(settings, tools.ensure_kind(settings))
    settings.kubeconfig.unlink(missing_ok=True)
    if daemon.answers() and (rest := cluster.others(settings)):
        note(f"the Docker daemon stays, it runs {', '.join(sorted(rest))}")
        return
    stopped = daemon.stop(settings)
    note(f"stopped {' and '.join(stopped)}" if stopped else "no daemon of ours was running")


def images(settings: Settings) -> None:
    discovered = checkout_images.discover()
    if not discovered:
        note("this checkout has no images yet")
        return
    if not daemon.answers():
        raise ProvisionFailed("no Docker daemon answers: run `up` first")
    found = checkout_images.ordered(checkout_images.with_programs(discovered))
    checkout_images.build(found)
    if settings.existing:
        note("an existing cluster gets its images from its own registry: push them there")
        return
    checkout_images.load(settings, tools.ensure_kind(settings), found)


def env(settings: Settings) -> None:
    path = shlex.quote(str(settings.binaries))
    print(f"export PATH={path}:$PATH KUBECONFIG={shlex.quote(str(settings.kubeconfig))}")
    for name, value in docker.builder().items():
        print(f"export {name}={value}")
    if not settings.existing and daemon.answers() and cluster.nodes(settings):
        print(f"export TORPOR_TEST_GATEWAY=http://{cluster.http_address(settings)}")


def status(settings: Settings) -> None:
    answering = daemon.answers()
    ours = [name for name in ("dockerd", "containerd") if running(name, settings.state)]
    started = f", {' and '.join(ours)} started by this tool" if ours else ""
    note(f"docker: {'answers' if answering else 'does not answer'}{started}")
    if settings.existing or (answering and cluster.nodes(settings)):
        state = "answers" if cluster.answers(settings) else "does not answer"
        note(f"cluster: {state}, kubeconfig {settings.kubeconfig}")
        return
    note(f"cluster: no {settings.name}")


COMMANDS: dict[str, Callable[[Settings], None]] = {
    "up": up,
    "down": down,
    "images": images,
    "env": env,
    "status": status,
}
READ_ONLY = ("env", "status")


def _is_usable(settings: Settings, kind: Path) -> bool:
    """Whether the cluster is there and answers; a dead one is deleted."""
    found = cluster.nodes(settings)
    if not found:
        return False
    tools.ensure_kubectl(settings, found[0])
    if cluster.is_usable(settings, kind):
        return True
    note(f"cluster {settings.name} does not answer any more")
    cluster.delete(settings, kind)
    return False


def _create(settings: Settings, kind: Path) -> None:
    image = registry.pulled_node_image(settings)
    if image is None:
        base_images.ensure(settings)
        image = node_image.ensure(settings)
    cluster.create(settings, kind, image)
    tools.ensure_kubectl(settings, cluster.nodes(settings)[0])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tests.cluster.provision")
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--name", default="torpor", help="the cluster's name (torpor)")
    parser.add_argument("--nodes", type=int, choices=(1, 3), help="1, the default, or 3")
    return parser.parse_args()


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Two runs at once would build the same files and start two daemons."""
    with (settings.folder(".") / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("another run is under way: waiting for it to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
