"""Logs for the person at the terminal: plain lines, above the live view while there is one."""

from __future__ import annotations

import logging

from rich.console import Console

_PREFIX = "torpor: "


class TerminalHandler(logging.Handler):
    """Prints the message of each record, and the traceback of one that has it."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        try:
            text = _PREFIX + self.format(record) + _fields(record)
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        except Exception:
            self.handleError(record)  # as logging asks of every handler


def _fields(record: logging.LogRecord) -> str:
    """Return what belongs to a message, as the cluster roles log it in fields of their own."""
    found = getattr(record, "fields", {})
    return "".join(f"  {name}={value}" for name, value in found.items())


def log_to(console: Console) -> None:
    """Send this process's logs to `console`: what `torpor dev` does, and all warnings."""
    handler = TerminalHandler(console)
    logging.basicConfig(level="WARNING", format="%(message)s", handlers=[handler], force=True)
    logging.getLogger("torpor.dev").setLevel(logging.INFO)
