"""Reads from kind's own sources what its node image must contain.

Taken from the module at build time, these files always fit the kind binary of the same version.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from .commands import ProvisionFailed

STORAGE = "pkg/build/nodeimage/const_storage.go"


@dataclass(frozen=True)
class KindSource:
    """An unpacked module sigs.k8s.io/kind."""

    folder: Path

    @property
    def _files(self) -> Path:
        return self.folder / "images/base/files"

    def copy_node_files(self, root: Path) -> None:
        """The entrypoint, the units and the configuration of containerd and kubelet."""
        for source in sorted(self._files.rglob("*")):
            if source.is_dir():
                continue
            target = root / source.relative_to(self._files)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            # a module's files have lost their modes
            target.chmod(0o755 if source.read_bytes().startswith(b"#!") else 0o644)

    def pause_image(self) -> str:
        configuration = (self._files / "etc/containerd/config.toml").read_text()
        return _found(r'sandbox_image = "(.*)"', configuration)

    def storage_images(self) -> list[str]:
        return list(self._storage_names().values())

    def storage_manifest(self) -> str:
        """The Go constant, with the other constants that it is put together from."""
        manifest = _found(r"const defaultStorageManifest = `(.*?)`\n(?:\n|$)", self._storage())
        for constant, image in self._storage_names().items():
            manifest = manifest.replace(f"` + {constant} + `", image)
        return manifest

    def _storage(self) -> str:
        return (self.folder / STORAGE).read_text()

    def _storage_names(self) -> dict[str, str]:
        constants = ("storageProvisionerImage", "storageHelperImage")
        return {name: _found(rf'const {name} = "(.*)"', self._storage()) for name in constants}


def _found(pattern: str, text: str) -> str:
    flags = re.DOTALL if "`" in pattern else 0
    match = re.search(pattern, text, flags)
    if match is None:
        raise ProvisionFailed(f"this version of kind no longer has: {pattern}")
    return match[1]
