"""The comparison as an SVG of its own: no fonts, scripts or images from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from html import escape

from torpor.cli.cost.texts import count, money
from torpor.telemetry.cost import Comparison

_WIDTH, _HEIGHT, _LEFT, _TOP, _PLOT_WIDTH, _PLOT_HEIGHT = 760, 420, 90, 56, 630, 280
_GRID = 4
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#334}.t{font-size:17px;font-weight:600}"
    ".g{stroke:#dde}.a{stroke:#99a}.s{stroke:#0a7ea4}.o{stroke:#c77700}"
    ".s,.o{fill:none;stroke-width:2.5}"
    ".x{fill:#2a8a4a}.w{fill:#fff}"
)


def picture(comparison: Comparison) -> str:
    """Return the SVG: both costs over the number of requests, and where they meet."""
    return "\n".join([*_lines(comparison), ""])


def _lines(it: Comparison) -> Iterator[str]:
    points = it.points()
    most = max(*(max(it.serverless(each), it.always_on(each)) for each in points), Decimal(1) / 100)
    scale = _Scale(points[-1], most)
    title = f"{it.table.name} and {it.server.name}: {it.table.currency} a month"
    meets = _meets(it)
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
    yield f"<title>{escape(title)}</title><desc>{escape(meets)}</desc>"
    yield f'<style>{_STYLE}</style><rect class="w" width="{_WIDTH}" height="{_HEIGHT}"/>'
    yield f'<text class="t" x="{_LEFT}" y="32">{escape(title)}</text>'
    yield from _grid(scale)
    yield _line("o", points, it.always_on, scale)
    yield _line("s", points, it.serverless, scale)
    yield from _meeting(it, scale, meets)
    bottom = _TOP + _PLOT_HEIGHT + 54
    yield f'<path class="s" d="M{_LEFT} {bottom - 4}h28"/><path class="o" d="M{_LEFT + 250} '
    yield f'{bottom - 4}h28"/><text x="{_LEFT + 36}" y="{bottom}">{escape(it.table.name)}</text>'
    yield f'<text x="{_LEFT + 286}" y="{bottom}">{escape(it.server.name)}, always on</text></svg>'


def _meets(it: Comparison) -> str:
    if it.crossover is None:
        return "the two do not meet"
    if not it.crossover:
        return "always on costs no more, even without a request"
    return f"both cost {money(it.server_month)} at {count(it.crossover)} requests"


class _Scale:
    def __init__(self, requests: Decimal, cost: Decimal) -> None:
        self.requests, self.cost = requests, cost

    def x(self, requests: Decimal) -> float:
        return round(_LEFT + float(requests / self.requests) * _PLOT_WIDTH, 1)

    def y(self, cost: Decimal) -> float:
        return round(_TOP + _PLOT_HEIGHT * (1 - float(cost / self.cost)), 1)


def _grid(scale: _Scale) -> Iterator[str]:
    right, bottom = _LEFT + _PLOT_WIDTH, _TOP + _PLOT_HEIGHT
    for step in range(_GRID + 1):
        cost, requests = scale.cost * step / _GRID, scale.requests * step / _GRID
        y, x = scale.y(cost), scale.x(requests)
        yield f'<path class="{"a" if not step else "g"}" d="M{_LEFT} {y}H{right}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{money(cost)}</text>'
        yield f'<text x="{x}" y="{bottom + 20}" text-anchor="middle">{count(requests)}</text>'


def _line(
    style: str, points: list[Decimal], cost: Callable[[Decimal], Decimal], scale: _Scale
) -> str:
    path = " ".join(f"{scale.x(each)},{scale.y(cost(each))}" for each in points)
    return f'<polyline class="{style}" points="{path}"/>'


def _meeting(it: Comparison, scale: _Scale, text: str) -> Iterator[str]:
    if not it.crossover:
        return
    x, y = scale.x(it.crossover), scale.y(it.server_month)
    yield f'<circle class="x" cx="{x}" cy="{y}" r="5"/>'
    yield f'<text x="{x + 10}" y="{y + 22}">{escape(text)}</text>'
