"""What the environment and the command line decide about the test cluster, in one place."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PACKAGE = Path(__file__).parent
REPOSITORY = PACKAGE.parents[2]
PROGRAMS = PACKAGE / "go"
FILES = PACKAGE / "files"


@dataclass(frozen=True)
class Settings:
    """One cluster: its name and size, and where on this machine it is reached and kept.

    Without a size, one that is up already is as good as any.
    """

    name: str
    nodes: int | None
    cache: Path
    http_port: int
    https_port: int
    events_port: int
    registry: str
    debian_mirror: str
    existing: bool

    @classmethod
    def read(cls, environ: Mapping[str, str], name: str, nodes: int | None) -> Self:
        default_cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        cache = environ.get("TORPOR_CLUSTER_CACHE") or default_cache / "torpor" / "cluster"
        return cls(
            name=name,
            nodes=nodes,
            cache=Path(cache).absolute(),
            http_port=int(environ.get("TORPOR_CLUSTER_HTTP_PORT", "18080")),
            https_port=int(environ.get("TORPOR_CLUSTER_HTTPS_PORT", "18443")),
            events_port=int(environ.get("TORPOR_CLUSTER_EVENTS_PORT", "18820")),
            registry=environ.get("TORPOR_CLUSTER_REGISTRY", "auto"),
            debian_mirror=environ.get("TORPOR_CLUSTER_DEBIAN_MIRROR", ""),
            existing=environ.get("TORPOR_TEST_CLUSTER") == "existing",
        )

    @property
    def kubeconfig(self) -> Path:
        """Never ~/.kube/config: a test must not be able to reach somebody's real cluster."""
        if self.existing and os.environ.get("KUBECONFIG"):
            return Path(os.environ["KUBECONFIG"])
        return self.cache / f"kubeconfig-{self.name}"

    def folder(self, name: str) -> Path:
        path = self.cache / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def binaries(self) -> Path:
        """The commands that `env` puts in front of the PATH."""
        return self.folder("bin")

    @property
    def programs(self) -> Path:
        """What is built from Go modules, each file with the key of its inputs beside it."""
        return self.folder("programs")

    @property
    def state(self) -> Path:
        """Of the daemons: pids, logs, configuration."""
        return self.folder("daemons")

    @property
    def archives(self) -> Path:
        """Built images, for a machine whose Docker storage was wiped."""
        return self.folder("images")
