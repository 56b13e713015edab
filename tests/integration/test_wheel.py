"""What an installed Torpor carries besides its modules: gateway, CRDs and dashboard need it."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
LOCATE = """
from importlib.resources import files
action = files("torpor.gateway.dataplane.haproxy").joinpath("hold.lua").read_text()
assert 'core.register_action("hold"' in action
crds = [item for item in files("torpor").joinpath("crds").iterdir() if item.name.endswith(".yaml")]
assert crds
page = files("torpor.dashboard").joinpath("static")
assert "<title>Torpor" in page.joinpath("index.html").read_text()
assert page.joinpath("main.js").is_file()
import torpor
print(torpor.__path__[0])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    run(sys.executable, "-m", "pip", *build, "--wheel-dir", str(folder), str(PROJECT))
    [built] = folder.glob("torpor-*.whl")
    return built


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_wheel_has_the_hold_action_the_crds_and_the_page(
    wheel: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path, with_pip=False)
    python = str(tmp_path / "bin" / "python")
    into = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    install = ("install", "--quiet", "--no-deps", "--no-index", "--target", into)
    run(sys.executable, "-m", "pip", *install, str(wheel))
    assert Path(run(python, "-c", LOCATE).strip()).is_relative_to(into)


def test_a_wheel_carries_no_tests_and_no_leftovers(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"torpor", "torpor_runtime"}
    assert not [name for name in names if "__pycache__" in name]
