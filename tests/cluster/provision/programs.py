"""Builds from Go modules what others download: Kubernetes, etcd, CoreDNS, kind and CNI plugins.

The module proxy serves all of their sources, with checksums that the go.sum files here pin.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import fingerprint
from .commands import MINUTE, ProvisionFailed, run, step
from .settings import PROGRAMS, Settings

OLDEST_GO = (1, 25)
STATIC = {"CGO_ENABLED": "0"}
CNI = "github.com/containernetworking/plugins/plugins"


@dataclass(frozen=True)
class Program:
    """One binary: its name, the folder of its go.mod, and the package of its main function."""

    name: str
    module: str
    package: str


KIND = Program("kind", "kind", "sigs.k8s.io/kind")
KUBE = Program("kube", "kube", ".")
PAUSE = Program("pause", "kube", "./pause")
SYSTEM = (
    KUBE,
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    Program("coredns", "coredns", "github.com/coredns/coredns"),
    Program(
        "local-path-provisioner",
        "local-path-provisioner",
        "github.com/rancher/local-path-provisioner",
    ),
)
PLUGINS = (
    Program("host-local", "cni-plugins", f"{CNI}/ipam/host-local"),
    Program("loopback", "cni-plugins", f"{CNI}/main/loopback"),
    Program("portmap", "cni-plugins", f"{CNI}/meta/portmap"),
    Program("ptp", "cni-plugins", f"{CNI}/main/ptp"),
)
OF_A_NODE = (*SYSTEM, PAUSE, *PLUGINS)


def kubernetes_version() -> str:
    """As its module is required, so that no second place has to agree."""
    required = re.search(r"k8s\.io/kubernetes (v\S+)", (PROGRAMS / "kube" / "go.mod").read_text())
    if required is None:
        raise ProvisionFailed("go/kube/go.mod does not require k8s.io/kubernetes")
    return required[1]


def key(program: Program) -> str:
    parts = (program.name, program.package, _link_flags(program))
    return fingerprint.of(PROGRAMS / program.module, *parts)


def build(settings: Settings, program: Program) -> Path:
    """The path of the binary, built unless its inputs are those of the last time."""
    binary = settings.programs / program.name
    stamp = settings.programs / f"{program.name}.key"
    wanted = key(program)
    if binary.exists() and stamp.exists() and stamp.read_text() == wanted:
        return binary
    _require_go()
    with step(f"build {program.name}" + (" (some minutes the first time)" * (program == KUBE))):
        _compile(program, binary)
    stamp.write_text(wanted)
    return binary


def source(program: Program) -> Path:
    """The folder of the module that holds the program, fetched if need be."""
    folder = PROGRAMS / program.module
    module = program.package
    run("go", "mod", "download", module, folder=folder)
    return Path(run("go", "list", "-m", "-f", "{{.Dir}}", module, folder=folder))


def _compile(program: Program, binary: Path) -> None:
    # A process may run the old binary: it keeps its file, and the new one gets the name.
    draft = binary.with_suffix(".draft")
    run(  # politely: suites that need no cluster run beside the first build of Kubernetes
        *("nice", "go", "build", "-trimpath", "-ldflags", _link_flags(program), "-o", draft),
        program.package,
        folder=PROGRAMS / program.module,
        environ=STATIC,
        timeout=45 * MINUTE,
    )
    draft.replace(binary)


def _link_flags(program: Program) -> str:
    if program != KUBE:
        return "-s -w"
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    facts = {
        "gitVersion": version,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
    }
    stamps = [f"-X k8s.io/component-base/version.{name}={fact}" for name, fact in facts.items()]
    return " ".join(["-s -w", *stamps])


def _require_go() -> None:
    wanted = ".".join(map(str, OLDEST_GO))
    if not shutil.which("go"):
        raise ProvisionFailed(f"install Go {wanted} or newer and put `go` on the PATH")
    version = run("go", "env", "GOVERSION", folder=PROGRAMS)
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST_GO:
        raise ProvisionFailed(f"`go` on the PATH is {version}; install Go {wanted} or newer")
