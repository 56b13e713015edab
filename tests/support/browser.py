"""A real browser for tests of pages: Debian's chromium, driven by Playwright.

Every page is watched: what its console says is wrong, and what it asks of other origins.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

SCREENSHOTS = "TORPOR_SCREENSHOTS"
"""The variable that names the folder where screenshots are kept."""
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
_WAIT_MILLISECONDS = 20_000
_LOUD = ("error", "warning")
_PALE = """
() => {
  const rgba = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith("color(srgb") ? [...found.slice(0, 3).map((c) => c * 255), found[3] ?? 1]
      : [found[0], found[1], found[2], found[3] ?? 1];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const behind = (node) => {
    if (!node) return [255, 255, 255];
    const own = rgba(getComputedStyle(node).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, behind(node.parentElement));
  };
  const luminance = (color) => {
    const [r, g, b] = color.map((c) => c / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const pale = [];
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || node.ownerSVGElement || !node.checkVisibility()) continue;
    const back = behind(node);
    const ink = over(rgba(getComputedStyle(node).color), back);
    const [high, low] = [luminance(ink), luminance(back)].sort((one, other) => other - one);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) pale.push(`${texts.currentNode.data.trim()} ${ratio.toFixed(2)}`);
  }
  return pale;
}
"""


@contextmanager
def browsing() -> Iterator[Browser]:
    """Start a browser, and end it."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """A page of `origin`, and what went wrong on it: `complaints`, and `foreign` addresses.

    Without slots: Playwright keeps an attribute of its own with whose method it calls.
    """

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def goto(self, place: str) -> None:
        """Open what is at this address of the origin, for example `#runs`."""
        self.page.goto(f"{self.origin}/{place}")

    def hear(self, message: ConsoleMessage) -> None:
        """Keep what the console says is wrong."""
        if message.type in _LOUD:
            self.complaints.append(message.text)

    def see(self, request: Request) -> None:
        """Keep an address that is not the origin's."""
        parts = urlsplit(request.url)
        if f"{parts.scheme}://{parts.netloc}" != self.origin and parts.scheme != "data":
            self.foreign.append(request.url)

    @property
    def width(self) -> int:
        """How wide what the page holds is."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))

    @property
    def pale(self) -> list[str]:
        """Texts with less contrast than WCAG 2.2 asks for (1.4.3, AA), each with its ratio."""
        return list(self.page.evaluate(_PALE))

    def keep(self, name: str, otherwise: Path) -> Path:
        """Keep a screenshot of all of the page in the folder that the variable names."""
        folder = Path(os.environ.get(SCREENSHOTS) or otherwise / "screenshots")
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}.png"
        self.page.screenshot(path=place, full_page=True, animations="disabled")
        return place


@contextmanager
def watched(browser: Browser, origin: str, **options: Any) -> Iterator[Watched]:
    """Give a page in a context of its own; `options` are the context's."""
    context = browser.new_context(**{"viewport": DESKTOP, **options})
    context.set_default_timeout(_WAIT_MILLISECONDS)
    try:
        seen = Watched(context.new_page(), origin)
        seen.page.on("console", seen.hear)
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on("request", seen.see)
        yield seen
    finally:
        context.close()
