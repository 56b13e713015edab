"""Single changes of HAProxy through the runtime API, with the answers that mean success. Pure.

An answer that says "it is so already" is a success too: after a lost answer the step is sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from torpor.gateway.dataplane.base import Server
from torpor.gateway.dataplane.haproxy.config import max_connections, server_arguments
from torpor.gateway.dataplane.haproxy.layout import AGAIN
from torpor.gateway.dataplane.haproxy.slots import Member, Slot, Stage


@dataclass(frozen=True, slots=True)
class Step:
    """One command; `done` notes it in the model.

    Success is an empty answer, or one that begins with one of `accepted`.
    """

    command: str
    done: Callable[[], None]
    accepted: tuple[str, ...] = ()

    def succeeded(self, answer: str) -> bool:
        """Whether HAProxy did it."""
        text = answer.strip()
        return not text or text.startswith(self.accepted)


def set_entry(
    shown: MutableMapping[str, str], path: Path, key: str, value: str | None
) -> Iterable[Step]:
    """Yield the step that brings one entry of a map to `value` (None: absent), if it is not so."""
    present = shown.get(key)
    if present == value:
        return
    if value is None:
        gone = ("entry not found", "Key not found", "'del map'")
        yield Step(f"del map {path} {key}", lambda: _forget(shown, key), gone)
        return
    verb = "set" if key in shown else "add"
    yield Step(f"{verb} map {path} {key} {value}", lambda: _note(shown, key, value))


def set_map(
    shown: MutableMapping[str, str], path: Path, wanted: Mapping[str, str]
) -> Iterable[Step]:
    """Yield the steps that bring a whole map to `wanted`; what is new comes first."""
    for key, value in wanted.items():
        yield from set_entry(shown, path, key, value)
    for key in [key for key in shown if key not in wanted]:
        yield from set_entry(shown, path, key, None)


def take_servers(slot: Slot, servers: Iterable[Server], new_row: Callable[[], str]) -> list[Step]:
    """Return the steps after which all `servers` take requests in the slot, within their limits."""
    steps: list[Step] = []
    for server in servers:
        member = slot.find(server)
        if member is None:
            # Known before it is sent: if the answer is lost, the same row is asked for again.
            member = Member(new_row(), server, Stage.ADDING)
            slot.members[member.row] = member
            steps.append(_add(slot, member))
        elif member.stage is Stage.ADDING:
            steps += [_add(slot, member), _limit(slot, member, server)]
        elif member.server.limit != server.limit:
            steps.append(_limit(slot, member, server))
        steps.extend(_make_ready(slot, member))
    return steps


def leave_servers(slot: Slot, servers: Iterable[Server], deadline: float) -> list[Step]:
    """Return the steps after which no server but `servers` gets a new request from the slot.

    When none is left, what waits in the slot's queue is moved to the door `again`: HAProxy does not
    do that by itself, but looks at the queue when the limit of a usable server is changed.
    """
    kept = list(servers)
    gone = [
        member
        for member in slot.members.values()
        if member.stage is not Stage.LEAVING and not any(member.is_at(item) for item in kept)
    ]
    steps = [
        Step(
            f"set server {slot.name}/{member.row} state drain",
            _leaver(member, deadline),
            ("No such server",),  # one whose adding was never answered
        )
        for member in gone
    ]
    if gone and not kept:
        steps.append(wake_queue(slot))
    return steps


def wake_queue(slot: Slot) -> Step:
    """Return the step that hands the slot's queue to `again`, if no other server is usable."""
    slot.bumps = slot.bumps % 2 + 1
    return Step(f"set maxconn server {slot.name}/{AGAIN} {100_000 + slot.bumps}", lambda: None)


def remove_server(slot: Slot, member: Member) -> list[Step]:
    """Return the steps that take a drained server out; refused while it has a connection."""
    target = f"{slot.name}/{member.row}"
    return [
        Step(f"set server {target} state maint", lambda: None, ("No such server",)),
        Step(
            f"del server {target}",
            lambda: _remove(slot, member),
            ("Server deleted", "No such server"),
        ),
    ]


def cut_server(slot: Slot, member: Member) -> Step:
    """Return the step that ends what a leaving server still has."""
    return Step(f"shutdown sessions server {slot.name}/{member.row}", lambda: None)


def arguments(server: Server) -> str:
    """Return a server's arguments in HAProxy's words."""
    protocol = "h2" if server.h2c else "h1"
    return server_arguments(server.address, server.port, server.limit, protocol)


def _add(slot: Slot, member: Member) -> Step:
    return Step(
        f"add server {slot.name}/{member.row} {arguments(member.server)}",
        _stager(member, Stage.ADDED),
        ("New server registered", "Already exists a server"),
    )


def _make_ready(slot: Slot, member: Member) -> list[Step]:
    target = f"{slot.name}/{member.row}"
    ready = _stager(member, Stage.READY)
    if member.stage is Stage.LEAVING:
        return [Step(f"set server {target} state ready", ready)]
    if member.stage is Stage.READY:
        return []
    return [
        Step(f"enable server {target}", lambda: None),
        Step(f"enable health {target}", ready),
    ]


def _limit(slot: Slot, member: Member, server: Server) -> Step:
    def note() -> None:
        member.server = server

    return Step(
        f"set maxconn server {slot.name}/{member.row} {max_connections(server.limit)}", note
    )


def _stager(member: Member, stage: Stage) -> Callable[[], None]:
    def note() -> None:
        member.stage, member.deadline = stage, None

    return note


def _leaver(member: Member, deadline: float) -> Callable[[], None]:
    def note() -> None:
        member.stage, member.deadline = Stage.LEAVING, deadline

    return note


def _remove(slot: Slot, member: Member) -> None:
    slot.members.pop(member.row, None)


def _note(shown: MutableMapping[str, str], key: str, value: str) -> None:
    shown[key] = value


def _forget(shown: MutableMapping[str, str], key: str) -> None:
    shown.pop(key, None)
