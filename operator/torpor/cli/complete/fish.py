"""The script for fish: one line for each word that may come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torpor.cli.complete.tree import Command, Option, Source

_HEAD = """\
# Completes `torpor` in fish. Made by `torpor completion fish`.

function __torpor_at # whether the words so far are these and no more
    set -l words (commandline -opc)
    test "$words[2..]" = "$argv"
end

function __torpor_in # whether the words so far begin with these
    set -l words (commandline -opc)
    set -l last (math (count $argv) + 1)
    test (count $words) -ge $last; and test "$words[2..$last]" = "$argv"
end

function __torpor_first # … and nothing follows them but options
    __torpor_in $argv; or return 1
    set -l words (commandline -opc)
    set -l i (math (count $argv) + 2)
    while test $i -le (count $words)
        if contains -- $words[$i] $__torpor_valued
            set i (math $i + 1)
        else if not string match -q -- '-*' $words[$i]
            return 1
        end
        set i (math $i + 1)
    end
end

function __torpor_listed
    set -l words (commandline -opc)
    set -l scope
    for i in (seq 3 (math (count $words) - 1))
        if contains -- $words[$i] -n --namespace --kubeconfig --context
            set scope $scope $words[$i] $words[(math $i + 1)]
        end
    end
    torpor $argv[1] list -o name $scope 2>/dev/null | string replace -r '.*/' ''
end

function __torpor_namespaces
    kubectl get namespaces -o name 2>/dev/null | string replace -r '.*/' ''
end

complete -c torpor -f
"""


def script(commands: Sequence[Command]) -> str:
    """Return a file for fish's folder of completions, which `source` takes as well."""
    return _HEAD + "\n".join([_valued(commands), *_lines(commands)]) + "\n"


def _valued(commands: Sequence[Command]) -> str:
    """Return the line with all options after which a value comes, in whatever command."""
    named = [(name, it.takes_value) for at in commands for it in at.options for name in it.names]
    flags = {name for name, takes_value in named if not takes_value}
    valued = sorted({name for name, takes_value in named if takes_value} - flags)
    return f"set -g __torpor_valued {' '.join(valued)}"


def _lines(commands: Sequence[Command]) -> Iterator[str]:
    for command in commands:
        *before, name = command.path.split()
        place = f"__torpor_at {' '.join(before)}".rstrip()
        yield f"complete -c torpor -n {_quoted(place)} -a {name} -d {_quoted(command.help)}"
        inside = _quoted(f"__torpor_in {command.path}")
        for option in command.options:
            yield f"complete -c torpor -n {inside} {_option(option)}"
        first = _quoted(f"__torpor_first {command.path}")
        if command.choices:
            yield f"complete -c torpor -n {first} -a {_quoted(' '.join(command.choices))}"
        elif command.source is Source.FILES:
            yield f"complete -c torpor -n {inside} -F"
        elif command.source is not Source.NOTHING:
            yield f"complete -c torpor -n {first} -a {_from(command.source)}"


def _option(option: Option) -> str:
    names = [
        f"-l {name.removeprefix('--')}" if name.startswith("--") else f"-s {name[1:]}"
        for name in option.names
    ]
    return " ".join([*names, *_value(option), f"-d {_quoted(option.help)}"])


def _value(option: Option) -> Iterator[str]:
    if not option.takes_value:
        return
    if option.choices:
        yield f"-xa {_quoted(' '.join(option.choices))}"
    elif option.source is Source.FILES:
        yield "-rF"
    elif option.source is Source.NOTHING:
        yield "-x"
    else:
        yield f"-xa {_from(option.source)}"


def _from(source: Source) -> str:
    listed = f"__torpor_listed {source.value}" if source.is_listed else "__torpor_namespaces"
    return _quoted(f"({listed})")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
