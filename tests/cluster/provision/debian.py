"""Debian images from the package archive, set up to reach it the way this machine does."""

import os
import re
import shutil
from pathlib import Path

from . import packages
from .commands import MINUTE, ProvisionFailed, run, step
from .docker import INPUTS
from .settings import Settings

APT_SOURCES = Path("/etc/apt")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# The settings of apt that decide whether an archive is reached and believed.
REACHING = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries")

# As in the public slim images: else each layer that installs something keeps apt's caches, and
# texts that nobody reads in a container.
LEAN_APT = """\
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };
"""
UNREAD = ("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man")
CACHES = ("var/cache/apt/archives", "var/lib/apt/lists")


def import_image(settings: Settings, suite: str, tag: str, label: str = "") -> None:
    """A minimal Debian as a Docker image. It is for this machine only: never push it."""
    packages.ensure(packages.BUILD_COMMANDS)
    if os.geteuid() != 0:
        raise ProvisionFailed("only root can run debootstrap, which makes the base images")
    root = settings.folder("build") / suite
    shutil.rmtree(root, ignore_errors=True)
    with step(f"bootstrap Debian {suite}"):
        _bootstrap(settings, suite, root)
        _slim(root)
        _reach_registries(root)
        _import(root, tag, label)
    shutil.rmtree(root)


def reach() -> str:
    """All that import_image takes from this machine, for the key of what is built on it."""
    return "\n".join([certificates().read_text(), _apt_settings(), _pip_settings()])


def certificates() -> Path:
    return Path(os.environ.get("SSL_CERT_FILE") or CERTIFICATES)


def _bootstrap(settings: Settings, suite: str, root: Path) -> None:
    run(
        *("debootstrap", "--variant=minbase", "--include=ca-certificates"),
        f"--cache-dir={settings.folder('debs')}",
        suite,
        root,
        *_mirror(settings),
        timeout=15 * MINUTE,
    )


def _mirror(settings: Settings) -> list[str]:
    """The archive that this machine's apt uses, or nothing: then debootstrap takes Debian's own."""
    if settings.debian_mirror:
        return [settings.debian_mirror]
    if "ID=debian" not in Path("/etc/os-release").read_text().splitlines():
        return []
    main = [uri for uri in _archives() if re.search(r"/debian/?$", uri)]
    return main[:1]


def _archives() -> list[str]:
    files = [APT_SOURCES / "sources.list", *sorted((APT_SOURCES / "sources.list.d").glob("*"))]
    text = "\n".join(path.read_text() for path in files if path.is_file())
    found = re.findall(r"^(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(\S+)", text, re.MULTILINE)
    return [str(uri) for uri in found]


def _slim(root: Path) -> None:
    for emptied in (*UNREAD, *CACHES):
        shutil.rmtree(root / emptied, ignore_errors=True)
        (root / emptied).mkdir()
    (root / "etc/apt/apt.conf.d/90lean").write_text(LEAN_APT)
    excluded = "".join(f"path-exclude /{folder}/*\n" for folder in UNREAD)
    (root / "etc/dpkg/dpkg.cfg.d/90lean").write_text(excluded)


def _reach_registries(root: Path) -> None:
    shutil.copy(certificates(), root / CERTIFICATES.relative_to("/"))
    (root / "etc/apt/apt.conf.d/90reach").write_text(_apt_settings())
    (root / "etc/pip.conf").write_text(_pip_settings())


def _apt_settings() -> str:
    lines = run("apt-config", "dump").splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith(REACHING))


def _pip_settings() -> str:
    """Where pip installs from on this machine, if it was told."""
    listed = run(*packages.pip(), "config", "list").splitlines()
    index = [line for line in listed if re.match(r"(global|:env:)\.(extra-)?index-url=", line)]
    lines = [line.split(".", 1)[1].replace("'", "").replace("=", " = ", 1) for line in index]
    return "\n".join(["[global]", f"cert = {CERTIFICATES}", *lines, ""])


def _import(root: Path, tag: str, label: str) -> None:
    archive = root.with_suffix(".tar")
    run("tar", "--directory", root, "--create", "--file", archive, ".")
    changes = [
        "CMD bash",
        f"LABEL {INPUTS}={label}",
        *(f"ENV {name}={CERTIFICATES}" for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")),
    ]
    run("docker", "import", *(f"--change={change}" for change in changes), archive, tag)
    archive.unlink()
