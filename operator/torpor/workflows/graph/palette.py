"""What Mermaid and SVG share: the colours of states, and labels of a bearable length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from torpor.workflows.graph.visits import Look

COLOURS: Final[Mapping[Look, tuple[str, str]]] = {
    Look.SUCCEEDED: ("#d9f2dc", "#2e8540"),
    Look.CAUGHT: ("#ffe8c7", "#c87800"),
    Look.RUNNING: ("#d6e8ff", "#1f6feb"),
    Look.FAILED: ("#ffd9d6", "#cf222e"),
}
"""Fill and stroke of a state, by how it stands."""

LABEL_CHARACTERS = 40


def shortened(text: str) -> str:
    """The text, cut with an ellipsis when it is longer than a label may be."""
    plain = " ".join(text.split())
    return plain if len(plain) <= LABEL_CHARACTERS else plain[: LABEL_CHARACTERS - 1] + "…"
