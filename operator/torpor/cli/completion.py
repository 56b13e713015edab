"""Prints a script that completes command lines of torpor, for one shell.

bash:    source <(torpor completion bash), in ~/.bashrc.
zsh:     source <(torpor completion zsh), in ~/.zshrc after compinit.
fish:    torpor completion fish > ~/.config/fish/completions/torpor.fish.
kubectl: a program of the name kubectl_complete-torpor on the PATH completes `kubectl torpor`.
Names of functions, workflows, triggers and namespaces are asked of the cluster as they are needed.
"""

from __future__ import annotations

import argparse
from importlib import import_module

SHELLS = ("bash", "zsh", "fish", "kubectl")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shell."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("shell", choices=SHELLS, help="whose script")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    commands = tuple(import_module("torpor.cli.complete.tree").commands())
    if args.shell == "kubectl":
        text = import_module("torpor.cli.complete.bash").kubectl_program(commands)
    else:
        text = import_module(f"torpor.cli.complete.{args.shell}").script(commands)
    print(text, end="")
    return 0
