"""The actions of `torpor transcode`: the same program as in a Job's pod, with a person watching."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from torpor.checkpoint import BadInput, CheckpointError, ObjectMissing, Run, Stopped, Store
from torpor.cli.output import Form, document
from torpor.cli.transcodeprogress import display
from torpor.cli.transcodeshow import plan_text, result_text, verdict_text
from torpor.transcode.cost import read_prices
from torpor.transcode.finish import PLAN
from torpor.transcode.model import Plan
from torpor.transcode.places import check_target, is_remote, local, split
from torpor.transcode.preparing import draw_up, look
from torpor.transcode.probe import Probed
from torpor.transcode.request import Packaging, Request
from torpor.transcode.result import rung_file
from torpor.transcode.tools import Tools
from torpor.transcode.verify import Verdict, failures, verify
from torpor.transcode.worker import Job, transcode

_SEPARATOR = ","


def run(args: argparse.Namespace) -> int:
    """Do one action; 0 when it is done, else what its error says."""
    actions: Mapping[str, Callable[[argparse.Namespace, Run], Coroutine[Any, Any, int]]] = {
        "plan": _plan,
        "run": _run,
        "verify": _verify,
    }
    try:
        _check(args)
        this = Run.from_environment()
        this.stop.listen(_leave)
        return asyncio.run(actions[args.action](args, this))
    except Stopped as error:
        _say(f"torpor transcode: {error}; the same command goes on where this one was")
        return error.exit_code
    except CheckpointError as error:
        _say(f"torpor transcode: {error}")
        return error.exit_code
    except OSError as error:  # a disk that is full or cannot be written
        _say(f"torpor transcode: {error}")
        return 1


def _check(args: argparse.Namespace) -> None:
    """Raise BadInput for options that only a terminal has."""
    if args.scratch and not Path(args.scratch).is_dir():
        raise BadInput(f"--scratch {args.scratch}: there is no such folder")
    if not 0 <= getattr(args, "least_ssim", 0.0) <= 1:
        raise BadInput(f"--least-ssim {args.least_ssim}: it is 0 to 1")
    known = {each.value for each in Packaging}
    wrong = [word for word in _words(getattr(args, "package", "")) if word not in known]
    if wrong:
        raise BadInput(f"--package {wrong[0]}: write hls, dash or hls,dash")


async def _plan(args: argparse.Namespace, this: Run) -> int:
    request = _request(args)
    with _scratch(args) as folder:
        tools, probed, key = await look(request, this, Path(folder), _say)
        plan = await draw_up(request, tools, probed, key)
    _print(args, plan.to_json(), lambda: plan_text(plan))
    return 0


async def _run(args: argparse.Namespace, this: Run) -> int:
    with display() as shown:
        job = Job(
            request=_request(args),
            run=replace(this, store_url=args.checkpoint or this.store_url),
            prices=read_prices(Path(args.prices) if args.prices else None),
            scratch=Path(args.scratch) if args.scratch else None,
            least_ssim=args.least_ssim,
            watch=shown.show,
        )
        result = (await transcode(job)).document
    _print(args, result, lambda: f"{result_text(result)}\n\nthe result is in {_target(args)}")
    return 0


async def _verify(args: argparse.Namespace, this: Run) -> int:
    check_target(_target(args))
    results = this.open(_target(args))
    with _scratch(args) as folder:
        tools, probed, _ = await look(Request(args.source), this, Path(folder), _say)
        plan = await asyncio.to_thread(_stored_plan, results)
        verdicts, wrong = await _judged(args, tools, plan, probed, results, Path(folder))
    judged = {
        "variants": [_verdict(verdict) for verdict in verdicts],
        "failures": wrong,
    }
    _print(args, judged, lambda: verdict_text(verdicts, wrong))
    return 1 if wrong else 0


async def _judged(
    args: argparse.Namespace,
    tools: Tools,
    plan: Plan,
    probed: Probed,
    results: Store,
    folder: Path,
) -> tuple[list[Verdict], list[str]]:
    rungs = {
        variant.name: await asyncio.to_thread(_rung, args, results, variant.name, folder)
        for variant in plan.variants
    }
    missing = [f"{name} is missing" for name, path in rungs.items() if path is None]
    there = {name: path for name, path in rungs.items() if path is not None}
    _say("verifying")
    verdicts = await verify(tools, plan, probed, there, args.least_ssim, folder)
    return verdicts, [*missing, *failures(verdicts)]


def _rung(args: argparse.Namespace, results: Store, variant: str, folder: Path) -> Path | None:
    """Return a rung's file, fetched unless it is on this disk; None if there is none."""
    name = rung_file(variant)
    at = _folder(_target(args))
    if at is not None:
        return at / name if (at / name).exists() else None
    try:
        results.download(name, folder / name)
    except ObjectMissing:
        return None
    return folder / name


def _stored_plan(results: Store) -> Plan:
    place = results.url_of(PLAN)
    try:
        return Plan.from_json(json.loads(results.get(PLAN)))
    except ObjectMissing:
        raise CheckpointError(f"there is no {place}: nothing was made there") from None
    except ValueError as error:
        raise CheckpointError(f"{place} is not the plan that it was: {error}") from error


def _request(args: argparse.Namespace) -> Request:
    given = {
        "source": args.source,
        "variants": _words(args.variants),
        "mode": args.mode,
        "unitSeconds": args.unit_seconds,
        "threads": args.threads,
        "speed": args.speed,
        "devices": args.devices,
    }
    if args.action == "run":
        given |= {"to": _target(args), "package": _words(args.package)}
    return Request.parse(given)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(_SEPARATOR) if word.strip()]


def _target(args: argparse.Namespace) -> str:
    """Return where results go: beside us, called after the source, unless it is said."""
    if args.to:
        return str(args.to)
    path = split(args.source).path
    name = Path(unquote(path) if "://" in args.source else path).stem
    printable = "".join(each if each.isprintable() and each != "/" else "_" for each in name)
    return f"./{printable or 'video'}.transcoded"


def _folder(target: str) -> Path | None:
    return None if is_remote(target) else local(target)


def _scratch(args: argparse.Namespace) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="torpor-transcode-", dir=args.scratch)


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": verdict.variant,
        "frames": verdict.frames,
        "keyframes": len(verdict.keyframes),
        "lowestSsim": verdict.lowest_ssim,
        "failures": list(verdict.failures),
    }


def _print(args: argparse.Namespace, value: Any, text: Callable[[], str]) -> None:
    print(text() if args.output == Form.TABLE else document(value, args.output))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _leave() -> None:
    """End at once: Ctrl-C, again."""
    raise KeyboardInterrupt
