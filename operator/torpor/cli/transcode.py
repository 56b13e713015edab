"""Transcodes a video into a ladder of variants, and goes on where it was when it is run again.

A source is a file, or an http, https, s3, gs or az URL. Results go to a folder or an object store;
what is done so far is kept there too, or where --checkpoint says. So after a crash, Ctrl-C or a
SIGTERM the same command makes only what is missing.

The exit status is 0 when it is done, 1 for a failure that another try may mend, 64 for a source or
an option that none will, 143 when it was stopped.
"""

from __future__ import annotations

import argparse
from importlib import import_module

from torpor.cli import options

MODES = ("unit", "stream")
SPEEDS = ("draft", "fast", "good")
DEVICES = ("auto", "cpu")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every action with its options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    verbs = options.actions(parser)
    _add_plan(verbs)
    _add_run(verbs)
    _add_verify(verbs)


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; see the module about what is returned."""
    return int(import_module("torpor.cli.transcoding").run(args))


def _add_plan(verbs: options.Actions[argparse.ArgumentParser]) -> None:
    text = "show what would be made of a source, and make nothing"
    parser = options.action(verbs, "plan", text)
    _add_source(parser)
    _add_wanted(parser)
    options.add_text_or_data(parser)


def _add_run(verbs: options.Actions[argparse.ArgumentParser]) -> None:
    text = "make it; run again, go on where it was"
    parser = options.action(verbs, "run", text)
    _add_source(parser)
    _add_target(parser)
    _add_wanted(parser)
    parser.add_argument(
        "--package", default="", metavar="LIST", help="also for streaming: hls, dash or hls,dash"
    )
    parser.add_argument(
        "--prices", metavar="FILE", help="JSON with the prices of a vCPU, GiB and GPU hour"
    )
    _add_least_ssim(parser)
    options.add_text_or_data(parser)


def _add_verify(verbs: options.Actions[argparse.ArgumentParser]) -> None:
    text = "compare results with their plan and their source; 1 if they are not right"
    parser = options.action(verbs, "verify", text)
    _add_source(parser)
    _add_target(parser)
    _add_least_ssim(parser)
    options.add_text_or_data(parser)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a file or a URL")
    parser.add_argument(
        "--scratch", metavar="FOLDER", help="for work in hand, a folder in it (the system's)"
    )


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to",
        metavar="URL",
        help="a folder, or s3://bucket/prefix, gs://…, az://… (./NAME.transcoded)",
    )
    parser.add_argument(
        "--checkpoint", metavar="URL", help="keep what is done so far here (where results go)"
    )


def _add_wanted(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--variants",
        default="",
        metavar="LIST",
        help="such as h264-720p,hevc,480p: a variant, a codec, a size (all that fit)",
    )
    parser.add_argument(
        "--mode",
        choices=MODES,
        default="unit",
        help="unit: one ffmpeg a unit, the same bytes whatever happens; stream: one for all that "
        "is left, nearly free (unit)",
    )
    parser.add_argument(
        "--unit-seconds", type=float, default=0.0, metavar="N", help="about how long a unit is"
    )
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="of an encoder (as CPUs, at most 64)"
    )
    parser.add_argument("--speed", choices=SPEEDS, default="fast", help="of encoding (fast)")
    parser.add_argument(
        "--devices", choices=DEVICES, default="auto", help="a GPU where there is one, or cpu (auto)"
    )


def _add_least_ssim(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--least-ssim",
        type=float,
        default=0.6,
        metavar="N",
        help="how like the source pictures must be where units meet, 0 to 1 (0.6)",
    )
