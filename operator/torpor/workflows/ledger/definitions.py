"""What the API asks of the ledger about what is defined: machines, versions, aliases, activities.

No engine writes any of it, so nothing here carries an epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from torpor.workflows.records import Activity, Alias, Machine, MachineVersion, Page

NO_TAGS: Mapping[str, str] = MappingProxyType({})


class Definitions(Protocol):
    """The part of `ledger.base.Ledger` that keeps definitions; with the same errors."""

    async def put_machine(
        self,
        machine: Machine,
        replaces: str | None = None,
        tags: Mapping[str, str] = NO_TAGS,
    ) -> Machine:
        """Create a machine with these tags, or store the revision that follows `replaces`.

        Raises AlreadyExists when there is another machine or latest revision than that, NotFound
        when the machine to change is not there or is being deleted. Old revisions stay while used.
        """

    async def machine(self, arn: str) -> Machine:
        """The latest revision of a machine; raises NotFound."""

    async def revision(self, machine_arn: str, revision_id: str) -> Machine:
        """One revision of a machine, also of a deleted one that still has executions."""

    async def machines(self, limit: int, token: str | None) -> Page[Machine]:
        """Machines by name."""

    async def delete_machine(self, arn: str, latest: str | None = None) -> None:
        """Mark a machine DELETING; it is gone when its last running execution ended.

        Raises AlreadyExists when `latest` is given and is not its latest revision, NotFound when
        there is none.
        """

    async def publish(
        self, machine_arn: str, revision_id: str | None, description: str | None
    ) -> MachineVersion:
        """Publish the latest revision as the next version; the same revision again is the same."""

    async def versions(
        self, machine_arn: str, limit: int, token: str | None
    ) -> Page[MachineVersion]:
        """Published versions, newest first."""

    async def version(self, arn: str) -> MachineVersion:
        """One version; raises NotFound."""

    async def delete_version(self, arn: str) -> None:
        """Delete a version that no alias routes to."""

    async def create_alias(self, alias: Alias) -> Alias:
        """Create an alias; raises AlreadyExists, or NotFound without an ACTIVE machine."""

    async def change_alias(self, alias: Alias) -> Alias:
        """Store an alias's description and routes; raises NotFound."""

    async def alias(self, arn: str) -> Alias:
        """One alias; raises NotFound."""

    async def aliases(self, machine_arn: str, limit: int, token: str | None) -> Page[Alias]:
        """The aliases of a machine by name."""

    async def delete_alias(self, arn: str) -> None:
        """Delete an alias."""

    async def tags(self, arn: str) -> Mapping[str, str]:
        """The tags of a machine or activity; raises NotFound."""

    async def set_tags(
        self, arn: str, add: Mapping[str, str], remove: Sequence[str]
    ) -> Mapping[str, str]:
        """Add and remove tags; returns those in force."""

    async def put_activity(self, activity: Activity, tags: Mapping[str, str] = NO_TAGS) -> Activity:
        """Create an activity with these tags; the same name again is the same activity."""

    async def activity(self, arn: str) -> Activity:
        """One activity; raises NotFound."""

    async def activities(self, limit: int, token: str | None) -> Page[Activity]:
        """Activities by name."""

    async def delete_activity(self, arn: str) -> None:
        """Delete an activity."""
