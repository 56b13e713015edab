"""The page about the command line names every verb, every action and every option."""

from __future__ import annotations

import argparse
import runpy
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from torpor.cli.main import VERBS

ROOT = Path(__file__).parents[3]


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


def test_every_option_of_every_action_is_on_the_page() -> None:
    pages = runpy.run_path(str(ROOT / "docs" / "generate.py"))["pages"]()
    text = pages[Path("docs/reference/cli.md")]
    sections = {part.partition("\n")[0]: part for part in text.split("# torpor ")[1:]}
    named = 0
    for verb in VERBS:
        top = argparse.ArgumentParser(f"torpor {verb.name}")
        import_module(verb.module).add_arguments(top)
        for parser in parsers(top):
            section = sections[parser.prog.removeprefix("torpor ")]
            for option in (
                option for action in parser._actions for option in action.option_strings
            ):
                assert option in section, f"{parser.prog} {option}"
                named += 1
    assert named > 40
