"""Builds the image of a kind node, with the images of the system pods inside it.

What `kind build node-image` does, except that nothing is pulled: the root file system is Debian's,
the programs come from Go modules, and all system images are one image under many names.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from . import debian, docker, fingerprint, programs
from .commands import ProvisionFailed, run, step, succeeds
from .kind_source import KindSource
from .processes import eventually
from .settings import FILES, PACKAGE, Settings

SUITE = "bookworm"
BASE = f"torpor.test/debian:{SUITE}"
SYSTEM = "torpor.test/system:local"
PODNET = "torpor.test/podnet:local"
ROOT = "torpor.test/node-root:local"
RECIPE = ("debian.py", "node_image.py", "kind_source.py")
FILES_OF_A_NODE = ("node.Dockerfile", "system.Dockerfile", "podnet.yaml")


def tag() -> str:
    return f"torpor-node:{programs.kubernetes_version()}"


def present(settings: Settings) -> bool:
    """Whether it was built before, of these inputs."""
    archived = docker.archive(settings, tag(), _key()).exists()
    return archived or docker.inputs(tag()) == _key()


def ensure(settings: Settings) -> str:
    for program in programs.OF_A_NODE:
        programs.build(settings, program)
    docker.ensure(settings, [tag()], _key(), lambda: _build(settings))
    return tag()


def _key() -> str:
    sources = [*(PACKAGE / name for name in RECIPE), *(FILES / name for name in FILES_OF_A_NODE)]
    keys = [programs.key(program) for program in (programs.KIND, *programs.OF_A_NODE)]
    return fingerprint.of(*sources, *keys)


def _build(settings: Settings) -> None:
    kind = KindSource(programs.source(programs.KIND))
    debian.import_image(settings, SUITE, BASE)
    with step("build the system image"):
        names = _build_system_images(settings, kind)
    with step("build the node's root file system"):
        _build_root(settings, kind)
    with step(f"put {len(names)} system images into {tag()}"):
        _preload(settings, names)
    docker.forget(*names, SYSTEM, ROOT, BASE)


def _build_system_images(settings: Settings, kind: KindSource) -> list[str]:
    """The names of the images that a node must have loaded."""
    context = _empty(settings, "system")
    _copy(settings, programs.SYSTEM, context / "bin")
    docker.build(SYSTEM, context, FILES / "system.Dockerfile")
    kube = settings.programs / programs.KUBE.name
    version = programs.kubernetes_version()
    listed = run(kube, "kubeadm", "config", "images", "list", "--kubernetes-version", version)
    names = {*listed.split(), kind.pause_image(), *kind.storage_images(), PODNET}
    for name in sorted(names):
        _build_named(settings, name)
    shutil.rmtree(context)
    return sorted(names)


def _build_named(settings: Settings, name: str) -> None:
    if "/pause:" in name:
        _build_small(settings, name, 'FROM scratch\nCOPY pause /\nENTRYPOINT ["/pause"]\n')
    elif "/coredns:" in name:
        _build_small(settings, name, f'FROM {SYSTEM}\nENTRYPOINT ["coredns"]\n')
    else:
        run("docker", "tag", SYSTEM, name)


def _build_small(settings: Settings, name: str, dockerfile: str) -> None:
    context = _empty(settings, "small")
    shutil.copy(settings.programs / programs.PAUSE.name, context / "pause")
    (context / "Dockerfile").write_text(dockerfile)
    docker.build(name, context, context / "Dockerfile")


def _build_root(settings: Settings, kind: KindSource) -> None:
    context = _empty(settings, "node")
    root = context / "root"
    kind.copy_node_files(root)
    _copy(settings, [programs.KUBE], root / "usr/bin")
    _copy(settings, programs.PLUGINS, root / "opt/cni/bin")
    (root / "kind/version").write_text(programs.kubernetes_version())
    manifests = root / "kind/manifests"
    manifests.mkdir()
    shutil.copy(FILES / "podnet.yaml", manifests / "default-cni.yaml")
    (manifests / "default-storage.yaml").write_text(kind.storage_manifest())
    docker.build(ROOT, context, FILES / "node.Dockerfile")
    shutil.rmtree(context)


def _preload(settings: Settings, names: Sequence[str]) -> None:
    """Imports the images in a container of the node image and keeps what became of it."""
    archive = settings.folder("build") / "system-images.tar"
    run("docker", "save", "--output", archive, *names)
    with _running_container() as container, archive.open("rb") as images:
        ctr = ("docker", "exec", "--interactive", container, "ctr", "--namespace", "k8s.io")
        run(*ctr, "images", "import", "--all-platforms", "--no-unpack", "-", stdin=images)
        for name in names:  # else the kubelet would remove what it cannot pull again
            run(*ctr, "images", "label", name, "io.cri-containerd.pinned=pinned")
        # its database is whole only once it has ended
        run("docker", "kill", "--signal", "TERM", container)
        run("docker", "wait", container)
        label = f'LABEL {docker.INPUTS}="{_key()}"'
        entry = 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]'
        run("docker", "commit", "--change", entry, "--change", label, container, tag())
    archive.unlink()


@contextmanager
def _running_container() -> Iterator[str]:
    container = "torpor-node-build"
    succeeds("docker", "rm", "--force", container)  # of a build that was killed
    run(
        *("docker", "run", "--detach", "--name", container, "--network", "none"),
        *("--security-opt", "seccomp=unconfined", "--entrypoint", "containerd", ROOT),
    )
    try:
        answers = ("docker", "exec", container, "ctr", "version")
        if not eventually(lambda: succeeds(*answers), 30):
            raise ProvisionFailed("containerd does not start in the node image")
        yield container
    finally:
        run("docker", "rm", "--force", container)


def _copy(settings: Settings, chosen: Sequence[programs.Program], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for program in chosen:
        shutil.copy(settings.programs / program.name, folder / program.name)


def _empty(settings: Settings, name: str) -> Path:
    folder = settings.folder("build") / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
