"""What images install is one version, and the one that the tests run with."""

from __future__ import annotations

import re

import pytest

from tests.unit.charts.test_charts import ROOT

INSTALLED = re.compile(r'"([a-z0-9-]+)([=<>~!]=?)([^"]+)"')
LOCKED = dict(
    re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE)
)


@pytest.mark.parametrize("image", ["runtime-python", "runtime-ffmpeg"])
def test_an_image_made_again_has_the_same_packages(image: str) -> None:
    lines = (ROOT / "images" / image / "Dockerfile").read_text().splitlines()
    wanted = [found for line in lines if "pip install" in line for found in INSTALLED.findall(line)]
    assert "obstore" in [name for name, _, _ in wanted]
    for name, operator, version in wanted:
        assert (operator, version) == ("==", LOCKED[name]), name
