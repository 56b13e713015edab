"""The script for zsh: bash's tables with what each word means beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from torpor.cli.complete.tree import Command, Source

_HEAD = """\
#compdef torpor kubectl-torpor
# Completes `torpor` in zsh. Made by `torpor completion zsh`.

_torpor_listed() {
  local -a scope
  local i
  for ((i = 3; i < CURRENT - 1; i++)); do
    case $words[i] in
      -n | --namespace | --kubeconfig | --context) scope+=($words[i] $words[i+1]) ;;
    esac
  done
  torpor $1 list -o name $scope 2>/dev/null | sed 's|.*/||'
}

_torpor_add() {
  case $1 in
    nothing | actions) ;;
    files) _files ;;
    namespaces) compadd -- ${(f)"$(kubectl get namespaces -o name 2>/dev/null | sed 's|.*/||')"} ;;
    *) compadd -- ${(f)"$(_torpor_listed $1)"} ;;
  esac
}

"""
_TAIL = """
_torpor() {
  local at=$words[2] place=3 seen=0 from=nothing i
  local -a found options valued
  ((CURRENT == 2)) && at=''
  _torpor_command "$at"
  if [[ -n $at && $from == actions ]] && ((CURRENT > 3)); then
    at+=" $words[3]" place=4 from=nothing
    found=() options=() valued=()
    _torpor_command "$at"
  fi
  if ((CURRENT > place)) && ((${valued[(Ie)$words[CURRENT-1]]})); then
    found=() from=nothing
    _torpor_value "$at $words[CURRENT-1]"
  elif [[ $words[CURRENT] == -* ]]; then
    found=($options) from=nothing
  else
    for ((i = place; i < CURRENT; i++)); do
      if ((${valued[(Ie)$words[i]]})); then ((i++))
      elif [[ $words[i] != -* ]]; then ((seen++)); fi
    done
    ((seen > 0)) && [[ $from != files ]] && found=() && from=nothing
  fi
  ((${#found})) && _describe 'torpor' found
  _torpor_add $from
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _torpor "$@"
else
  compdef _torpor torpor kubectl-torpor
fi
"""


def script(commands: Sequence[Command]) -> str:
    """Return a file for the fpath, which `source` takes as well."""
    tables = [*_command_table(commands), "", *_value_table(commands)]
    return _HEAD + "\n".join(tables) + "\n" + _TAIL


def _command_table(commands: Sequence[Command]) -> Iterator[str]:
    verbs = [(it.path, it.help) for it in commands if " " not in it.path]
    yield "_torpor_command() {"
    yield "  case $1 in"
    yield f"    '') found=({_described(verbs)}) from=actions ;;"
    for command in commands:
        named = [(name, option.help) for option in command.options for name in option.names]
        valued = [name for option in command.options if option.takes_value for name in option.names]
        words = command.actions or tuple((choice, "") for choice in command.choices)
        source = "actions" if command.actions else command.source.value
        yield f"    '{command.path}')"
        yield f"      found=({_described(words)}) from={source}"
        yield f"      valued=({' '.join(valued)})"
        yield f"      options=({_described(named)}) ;;"
    yield from ("  esac", "}")


def _value_table(commands: Sequence[Command]) -> Iterator[str]:
    yield "_torpor_value() {"
    yield "  case $1 in"
    for command in commands:
        for option in command.options:
            places = " | ".join(f"'{command.path} {name}'" for name in option.names)
            if option.choices:
                yield f"    {places}) found=({' '.join(option.choices)}) ;;"
            elif option.source is not Source.NOTHING:
                yield f"    {places}) from={option.source.value} ;;"
    yield from ("    *) ;;", "  esac", "}")


def _described(words: Iterable[tuple[str, str]]) -> str:
    return " ".join(_quoted(f"{name}:{text}" if text else name) for name, text in words)


def _quoted(text: str) -> str:
    """Return a word in single quotes, its colons after the first as they are meant."""
    name, colon, rest = text.partition(":")
    escaped = (name + colon + rest.replace(":", "\\:")).replace("'", "'\\''")
    return f"'{escaped}'"
