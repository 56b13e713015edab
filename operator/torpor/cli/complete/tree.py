"""The command line as the shells have to know it, read from the parsers of all verbs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from torpor.cli.main import VERBS, parser_of


class Source(Enum):
    """Where the words come from that may stand at a place."""

    NOTHING = "nothing"
    FILES = "files"
    NAMESPACES = "namespaces"
    FUNCTIONS = "fn"
    RUNS = "run"
    WORKFLOWS = "workflow"
    TRIGGERS = "trigger"

    @property
    def is_listed(self) -> bool:
        """Whether a verb of that name lists the words."""
        return self in (Source.FUNCTIONS, Source.RUNS, Source.WORKFLOWS, Source.TRIGGERS)


@dataclass(frozen=True, slots=True)
class Option:
    """An option by all its names; what follows it is a choice, or a word from a source."""

    names: tuple[str, ...]
    help: str
    takes_value: bool
    choices: tuple[str, ...] = ()
    source: Source = Source.NOTHING


@dataclass(frozen=True, slots=True)
class Command:
    """A verb, or a verb and its action; `actions` are pairs of name and help."""

    path: str
    help: str
    options: tuple[Option, ...]
    actions: tuple[tuple[str, str], ...] = ()
    choices: tuple[str, ...] = ()
    source: Source = Source.NOTHING


_NAMED = {
    "fn": Source.FUNCTIONS,
    "invoke": Source.FUNCTIONS,
    "run": Source.RUNS,
    "workflow": Source.WORKFLOWS,
    "trigger": Source.TRIGGERS,
    "dlq": Source.TRIGGERS,
}
_OPTIONS = {
    "namespace": Source.NAMESPACES,
    "torpor_namespace": Source.NAMESPACES,
    "kubeconfig": Source.FILES,
    "file": Source.FILES,
    "trigger": Source.TRIGGERS,
    "function": Source.FUNCTIONS,
}
_FILES = frozenset({"folder", "files"})


def commands() -> Iterator[Command]:
    """Yield every verb, and after it each of its actions."""
    for verb in VERBS:
        yield from _commands(verb.name, parser_of(verb)[0], verb.help)


def _commands(path: str, parser: argparse.ArgumentParser, text: str) -> Iterator[Command]:
    inner = next((it for it in parser._actions if _is_choice_of_action(it)), None)
    choices: dict[str, argparse.ArgumentParser] = dict(inner.choices or {}) if inner else {}
    actions = tuple((name, str(it.description or "")) for name, it in choices.items())
    first = next((it for it in parser._actions if _is_word(it)), None)
    yield Command(
        path,
        text,
        tuple(_option(it) for it in parser._actions if it.option_strings),
        actions,
        tuple(map(str, first.choices)) if first and first.choices else (),
        _source_of(path, first),
    )
    for name, action in choices.items():
        yield from _commands(f"{path} {name}", action, str(action.description or ""))


def _is_choice_of_action(action: argparse.Action) -> bool:
    return isinstance(action, argparse._SubParsersAction)


def _is_word(action: argparse.Action) -> bool:
    return not action.option_strings and not _is_choice_of_action(action)


def _option(action: argparse.Action) -> Option:
    return Option(
        tuple(action.option_strings),
        str(action.help or "").replace("%%", "%"),
        action.nargs != 0,
        tuple(map(str, action.choices or ())),
        _OPTIONS.get(action.dest, Source.NOTHING),
    )


def _source_of(path: str, first: argparse.Action | None) -> Source:
    if first is None:
        return Source.NOTHING
    if first.dest in _FILES:
        return Source.FILES
    return _NAMED.get(path.split()[0], Source.NOTHING) if first.dest == "name" else Source.NOTHING
