"""One visit of the doctor: gather the facts, make every check, print what was found."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence

from torpor.cli import cluster, output
from torpor.cli.doctor import gather, kinds, local, roles, runs, surroundings, usage
from torpor.cli.doctor.facts import Facts
from torpor.cli.doctor.finding import Finding, Grade, in_words
from torpor.cli.output import Form
from torpor.errors import TorporError

REACH = "cluster"
Check = Callable[[Facts], Iterator[Finding]]
CHECKS: Mapping[str, Check] = {
    kinds.CHECK: kinds.check,
    roles.ROLES: roles.check_roles,
    roles.LEADER: roles.check_leader,
    roles.KEY: roles.check_key,
    roles.DOOR: roles.check_door,
    roles.VERSIONS: roles.check_versions,
    surroundings.CLOCK: surroundings.check_clock,
    surroundings.DOMAIN: surroundings.check_domain,
    surroundings.POLICIES: surroundings.check_policies,
    surroundings.RIGHTS: surroundings.check_rights,
    surroundings.SECURITY: surroundings.check_security,
    usage.FUNCTIONS: usage.check_functions,
    usage.OTHERS: usage.check_others,
    runs.CHECK: runs.check,
    usage.IMAGES: usage.check_images,
}


async def visit(args: argparse.Namespace) -> int:
    """Print the findings; 1 when one is a problem."""
    if args.dev:
        found = [*local.check_programs(), *await local.check_run(args.gateway)]
        return _tell(args.output, found, (local.PROGRAMS, local.RUN))
    try:
        async with cluster.connect(args) as api:
            facts = await gather.facts_of(api, args)
    except TorporError as error:
        return _tell(args.output, [_out_of_reach(error)], (REACH,))
    if facts.server.value is None and facts.server.status == 401:
        return _tell(args.output, [_stranger(facts)], (REACH,))
    found = [finding for check in CHECKS.values() for finding in check(facts)]
    return _tell(args.output, found, (REACH, *CHECKS))


def _out_of_reach(error: TorporError) -> Finding:
    return Finding(
        Grade.PROBLEM,
        REACH,
        str(error),
        "nothing else can be looked at",
        "export KUBECONFIG=…, or --kubeconfig and --context; kubectl cluster-info tells whether it "
        "is us. torpor doctor --dev looks at this machine",
    )


def _stranger(facts: Facts) -> Finding:
    return Finding(
        Grade.PROBLEM,
        REACH,
        f"the cluster does not know us: {facts.server.problem}",
        "nothing else can be looked at",
        "log in again, as your cluster's provider tells; kubectl auth whoami says who you are",
    )


def _tell(form: str, found: Sequence[Finding], checks: Sequence[str]) -> int:
    if form in (Form.JSON, Form.YAML):
        value = {"findings": [finding.to_json() for finding in found], "checks": list(checks)}
        print(output.document(value, form))
    else:
        print(in_words(found, len(checks)))
    return int(any(finding.grade is Grade.PROBLEM for finding in found))
