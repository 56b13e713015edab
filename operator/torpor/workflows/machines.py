"""The engine's machines as the controller asks for them: the values on the wire, and the client.

The controller never talks to PostgreSQL. It tells an engine which machines there should be, over
the engine's internal API (`admin.py`), as it talks to the gateways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, TypeVar

import aiohttp

from torpor.errors import TorporError
from torpor.resources.names import FunctionKey
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.validate.answer import INVALID_DEFINITION
from torpor.workflows.records import MachineStatus, MachineType, Options

T = TypeVar("T")

PATH = "/v1/machines"
DELETING = "StateMachineDeleting"

_ANSWER_SECONDS = 20.0
_STOP_SECONDS = 60.0
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError)


class EngineAway(TorporError):
    """No engine answered, or its ledger is away: nothing changed for certain, try again."""

    code = "engine-away"


class DefinitionRefused(TorporError):
    """The definition has errors; the text has every one of them, in AWS's wording."""

    code = "definition-refused"


class MachineDeleting(TorporError):
    """A machine of this name is being deleted and still has running executions."""

    code = "machine-deleting"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A machine as its Workflow asks for it. `definition` is JSON text."""

    definition: str
    type: MachineType
    options: Options

    def to_json(self) -> dict[str, Any]:
        """Return the body of a PUT."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; KeyError, TypeError or ValueError for anything else."""
        known = {item.name for item in fields(Options)}
        options = {name: value for name, value in body["options"].items() if name in known}
        return cls(str(body["definition"]), MachineType(body["type"]), Options(**options))


@dataclass(frozen=True, slots=True)
class Standing:
    """A machine as the engine has it. `workflow_uid` is None when no Workflow asked for it."""

    name: str
    arn: str
    revision: str
    status: MachineStatus
    workflow_uid: str | None
    deletion_policy: str
    counts: Mapping[Status, int]

    def to_json(self) -> dict[str, Any]:
        """Return its JSON form."""
        return {
            "name": self.name,
            "arn": self.arn,
            "revision": self.revision,
            "status": self.status.value,
            "workflow_uid": self.workflow_uid,
            "deletion_policy": self.deletion_policy,
            "counts": {status.value: count for status, count in self.counts.items()},
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; KeyError, TypeError or ValueError for anything else."""
        return cls(
            name=str(body["name"]),
            arn=str(body["arn"]),
            revision=str(body["revision"]),
            status=MachineStatus(body["status"]),
            workflow_uid=body["workflow_uid"],
            deletion_policy=str(body["deletion_policy"]),
            counts={Status(name): int(count) for name, count in body["counts"].items()},
        )


def machine_name(key: FunctionKey) -> str:
    """Return the name of a Workflow's machine; neither part has a dot, so it can be read back."""
    return f"{key.namespace}.{key.name}"


def workflow_key(name: str) -> FunctionKey:
    """Return the key of the Workflow that a machine of this name is of; ValueError if of none."""
    namespace, _, rest = name.partition(".")
    return FunctionKey.parse(f"{namespace}/{rest}")


class Machines:
    """The internal API of the engines behind `url`. The session is the caller's."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    async def put(self, key: FunctionKey, wanted: Wanted) -> Standing:
        """Have the machine be as wanted; what is so already changes nothing.

        Raises DefinitionRefused, MachineDeleting or EngineAway.
        """
        answer = await self._call("PUT", f"{PATH}/{machine_name(key)}", wanted.to_json())
        return _read(lambda: Standing.from_json(answer))

    async def delete(self, key: FunctionKey) -> None:
        """Delete the machine if a Workflow asked for it; its deletion policy says how.

        With Stop all its running executions are aborted when this returns. Raises EngineAway.
        """
        path = f"{PATH}/{machine_name(key)}"
        await self._call("DELETE", path, seconds=_STOP_SECONDS)

    async def survey(self) -> Sequence[Standing]:
        """Return every machine, with the number of its executions by status."""
        answer = await self._call("GET", PATH)
        return _read(lambda: [Standing.from_json(item) for item in answer["machines"]])

    async def _call(
        self, method: str, path: str, body: Any = None, seconds: float = _ANSWER_SECONDS
    ) -> Any:
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.request(
                method, self._url + path, json=body, headers=self._headers, timeout=timeout
            ) as answer:
                found = await answer.json(content_type=None) if answer.status != 204 else None
                status = answer.status
        except _FAILURES as error:
            raise EngineAway(f"{self._url}: {type(error).__name__}: {error}") from error
        if status >= 400:
            raise _refused(status, found, self._url)
        return found


def _read(parse: Callable[[], T]) -> T:
    try:
        return parse()
    except _FAILURES as error:
        raise EngineAway(f"the engine answered what cannot be read: {error!r}") from error


def _refused(status: int, found: Any, url: str) -> TorporError:
    told = found if isinstance(found, dict) else {}
    detail = str(told.get("detail") or f"status {status}")
    kind = _REFUSALS.get(str(told.get("code")))
    return kind(detail) if kind else EngineAway(f"{url}: {detail}")


_REFUSALS: Mapping[str, type[TorporError]] = {
    INVALID_DEFINITION: DefinitionRefused,
    DELETING: MachineDeleting,
}
