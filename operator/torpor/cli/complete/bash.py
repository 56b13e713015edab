"""The script for bash, and with it the program that completes `kubectl torpor` in any shell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torpor.cli.complete.tree import Command, Source

_HEAD = """\
# Completes `torpor` in bash. Made by `torpor completion bash`.

_torpor_listed() {
  local scope=() i
  for ((i = 2; i < COMP_CWORD - 1; i++)); do
    case ${COMP_WORDS[i]} in
      -n | --namespace | --kubeconfig | --context)
        scope+=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}") ;;
    esac
  done
  torpor "$1" list -o name "${scope[@]}" 2>/dev/null | sed 's|.*/||'
}

_torpor_words() {
  case $1 in
    nothing | files) ;;
    namespaces) kubectl get namespaces -o name 2>/dev/null | sed 's|.*/||' ;;
    *) _torpor_listed "$1" ;;
  esac
}

"""
_TAIL = """
_torpor() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  local path=${COMP_WORDS[1]} place=2 seen=0 i
  local words='' options='' valued='' from=nothing
  COMPREPLY=()
  ((COMP_CWORD == 1)) && path=''
  _torpor_command "$path"
  if [[ -n $path && -n $words && $from == actions ]] && ((COMP_CWORD > 2)); then
    path+=" ${COMP_WORDS[2]}" place=3
    words='' options='' valued='' from=nothing
    _torpor_command "$path"
  fi
  if [[ " $valued " == *" $prev "* ]] && ((COMP_CWORD > place)); then
    words='' from=nothing
    _torpor_value "$path $prev"
  elif [[ $cur == -* ]]; then
    words=$options from=nothing
  else
    for ((i = place; i < COMP_CWORD; i++)); do
      if [[ " $valued " == *" ${COMP_WORDS[i]} "* ]]; then ((i++))
      elif [[ ${COMP_WORDS[i]} != -* ]]; then ((seen++)); fi
    done
    ((seen > 0)) && [[ $from != files ]] && words='' from=nothing
  fi
  case $from in
    files)
      compopt -o filenames 2>/dev/null
      COMPREPLY=($(compgen -f -- "$cur")) ;;
    nothing | actions) ;;
    *) words="$words $(_torpor_words "$from")" ;;
  esac
  COMPREPLY+=($(compgen -W "$words" -- "$cur"))
}
"""
_REGISTER = "complete -F _torpor torpor kubectl-torpor\n"
_PROGRAM = """
# What kubectl asks (its `kubectl __complete`): the words, and that no files are meant.
COMP_WORDS=(torpor "$@")
COMP_CWORD=$#
_torpor 2>/dev/null
((${#COMPREPLY[@]})) && printf '%s\\n' "${COMPREPLY[@]}"
echo ":4"
"""


def script(commands: Sequence[Command]) -> str:
    """Return what `source` makes bash complete `torpor`."""
    return _functions(commands) + _REGISTER


def kubectl_program(commands: Sequence[Command]) -> str:
    """Return the program `kubectl_complete-torpor`, which kubectl looks for on the PATH."""
    return "#!/usr/bin/env bash\n" + _functions(commands) + _PROGRAM


def _functions(commands: Sequence[Command]) -> str:
    tables = [*_command_table(commands), "", *_value_table(commands)]
    return _HEAD + "\n".join(tables) + "\n" + _TAIL


def _command_table(commands: Sequence[Command]) -> Iterator[str]:
    verbs = " ".join(it.path for it in commands if " " not in it.path)
    yield "_torpor_command() {"
    yield "  case $1 in"
    yield f"    '') words='{verbs}' from=actions ;;"
    for command in commands:
        options = " ".join(name for option in command.options for name in option.names)
        valued = " ".join(
            name for option in command.options if option.takes_value for name in option.names
        )
        words = " ".join([name for name, _ in command.actions] or command.choices)
        source = "actions" if command.actions else command.source.value
        yield f"    '{command.path}')"
        yield f"      words='{words}' from={source}"
        yield f"      valued='{valued}'"
        yield f"      options='{options}' ;;"
    yield from ("  esac", "}")


def _value_table(commands: Sequence[Command]) -> Iterator[str]:
    yield "_torpor_value() {"
    yield "  case $1 in"
    for command in commands:
        for option in command.options:
            places = " | ".join(f"'{command.path} {name}'" for name in option.names)
            if option.choices:
                yield f"    {places}) words='{' '.join(option.choices)}' ;;"
            elif option.source is not Source.NOTHING:
                yield f"    {places}) from={option.source.value} ;;"
    yield from ("    *) ;;", "  esac", "}")
